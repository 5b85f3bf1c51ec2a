//! The checksums of index pages, kept outside the pages, so that a lost or misdirected write is seen too (D12).
//!
//! Four bytes a page, in an extent of their own; that extent's pages have their checksums in the catalog. Read
//! from the file a page of checksums at a time, when the first page under it is touched.

use std::sync::{Arc, PoisonError};

use crate::error::{Detail, Error, Result};
use crate::file::media::Media;
use crate::format::catalog::SUMS_PER_PAGE;
use crate::format::{PAGE_BYTES, page_crc};
use crate::mutants::{Mutant, kept};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, MutexGuard};

/// Where pages of checksums are read from.
pub(crate) struct SumsSource {
    /// The file.
    pub(crate) media: Arc<dyn Media>,
    /// File offset of the checksums.
    pub(crate) offset: u64,
    /// Pages that a journal holds and the file does not yet, by their number among the checksum pages.
    pub(crate) overlay: std::collections::HashMap<usize, Box<[u8; PAGE_BYTES as usize]>>,
}

/// The page checksums of one run of index pages.
pub(crate) struct Sums {
    /// One a page, 0 for a page that no checkpoint has written.
    crcs: Box<[AtomicU32]>,
    top: Mutex<Top>,
}

struct Top {
    /// The checksum of each page of checksums, as the catalog has it.
    page_crcs: Vec<u32>,
    /// Whether that page has been read.
    loaded: Vec<bool>,
    source: Option<SumsSource>,
}

const PER_PAGE: usize = SUMS_PER_PAGE as usize;

impl Sums {
    /// Of pages that no checkpoint has written.
    pub(crate) fn fresh(pages: usize) -> Self {
        let sum_pages = pages.div_ceil(PER_PAGE);
        let top = Top { page_crcs: vec![0; sum_pages], loaded: vec![true; sum_pages], source: None };
        Sums { crcs: (0..pages).map(|_| AtomicU32::new(0)).collect(), top: Mutex::new(top) }
    }

    /// As the last checkpoint left them; `page_crcs` from the catalog.
    pub(crate) fn reopened(pages: usize, page_crcs: Vec<u32>, source: SumsSource) -> Self {
        let loaded = vec![false; page_crcs.len()];
        let top = Top { page_crcs, loaded, source: Some(source) };
        Sums { crcs: (0..pages).map(|_| AtomicU32::new(0)).collect(), top: Mutex::new(top) }
    }

    /// What the last checkpoint wrote for a page; `None` for a page that none has written.
    pub(crate) fn get(&self, page: usize) -> Result<Option<u32>> {
        self.load(&mut self.lock(), page / PER_PAGE)?;
        let crc = self.crcs[page].load(Ordering::Relaxed);
        Ok((crc != 0).then_some(crc))
    }

    /// How many pages no checkpoint has written, as far as the checksums can be read.
    pub(crate) fn absent(&self) -> u64 {
        let mut top = self.lock();
        (0..top.loaded.len()).for_each(|sum_page| drop(self.load(&mut top, sum_page)));
        self.crcs.iter().filter(|crc| crc.load(Ordering::Relaxed) == 0).count() as u64
    }

    /// Sets the checksum of a page that a checkpoint is about to write.
    pub(crate) fn set(&self, page: usize, crc: u32) -> Result<()> {
        self.load(&mut self.lock(), page / PER_PAGE)?;
        self.crcs[page].store(crc, Ordering::Relaxed);
        Ok(())
    }

    /// The page of checksums with this number, as the checkpoint is to write it; its own checksum is kept for the
    /// catalog.
    pub(crate) fn encode_page(&self, sum_page: usize) -> Box<[u8; PAGE_BYTES as usize]> {
        let mut bytes = Box::new([0; PAGE_BYTES as usize]);
        let crcs = self.crcs.iter().skip(sum_page * PER_PAGE).take(PER_PAGE);
        for (crc, out) in crcs.zip(bytes.chunks_exact_mut(4)) {
            out.copy_from_slice(&crc.load(Ordering::Relaxed).to_le_bytes());
        }
        self.lock().page_crcs[sum_page] = page_crc(&bytes[..]);
        bytes
    }

    /// The checksums of the pages of checksums, for the catalog.
    pub(crate) fn page_crcs(&self) -> Vec<u32> {
        self.lock().page_crcs.clone()
    }

    /// The page of checksums that covers an index page.
    pub(crate) fn sum_page_of(page: usize) -> usize {
        page / PER_PAGE
    }

    fn load(&self, top: &mut Top, sum_page: usize) -> Result<()> {
        if top.loaded[sum_page] {
            return Ok(());
        }
        let expected = top.page_crcs[sum_page];
        if let (Some(source), true) = (&top.source, expected != 0) {
            let bytes = source.read(sum_page)?;
            let found = page_crc(&bytes[..]);
            if found != expected && kept(Mutant::ChecksumPageChecksum) {
                let offset = source.offset + sum_page as u64 * PAGE_BYTES;
                return Err(Error::corrupt(
                    "page checksums",
                    offset,
                    Detail::Crc(expected),
                    Detail::Crc(found),
                ));
            }
            let crcs = self.crcs.iter().skip(sum_page * PER_PAGE).take(PER_PAGE);
            for (crc, from) in crcs.zip(bytes.chunks_exact(4)) {
                crc.store(u32::from_le_bytes([from[0], from[1], from[2], from[3]]), Ordering::Relaxed);
            }
        }
        top.loaded[sum_page] = true;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Top> {
        self.top.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SumsSource {
    fn read(&self, sum_page: usize) -> Result<Box<[u8; PAGE_BYTES as usize]>> {
        if let Some(bytes) = self.overlay.get(&sum_page) {
            return Ok(bytes.clone());
        }
        let mut bytes = Box::new([0; PAGE_BYTES as usize]);
        let offset = self.offset + sum_page as u64 * PAGE_BYTES;
        self.media.read_at(&mut bytes[..], offset).map_err(Error::io("reading page checksums"))?;
        Ok(bytes)
    }
}
