//! The mutants: what each leaves out, the rules that it breaks, and what is lost then.

macro_rules! mutants {
    ($($name:ident [$($rule:ident)+] $what:literal;)+) => {
        /// A step that can be left out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Mutant {
            $(#[doc = $what] $name,)+
        }

        /// Every mutant.
        #[cfg(feature = "mutants")]
        pub const ALL: &[Mutant] = &[$(Mutant::$name),+];

        #[cfg(feature = "mutants")]
        impl Mutant {
            /// The rules that it breaks: D for durability, C for concurrency.
            pub fn rules(self) -> &'static [&'static str] {
                match self {
                    $(Mutant::$name => &[$(stringify!($rule)),+],)+
                }
            }

            /// What is left out, and when something is lost because of it.
            pub fn what(self) -> &'static str {
                match self {
                    $(Mutant::$name => $what,)+
                }
            }
        }
    };
}

mutants! {
    SessionHeaderSync [D1]
        "a session appends before its header is durable: after a power cut the file passes for closed, the session \
         after it appends over the torn tail, and a record behind comes back";
    WritingFlag [D1]
        "the header never says that somebody writes: a crashed file passes for closed, its torn tail is appended \
         over, and a record behind comes back";
    EpochRaised [D1]
        "a session takes the epoch of the one before: a segment that a power cut took out of the chain is begun \
         again with the same salt, and its old records follow the new ones";
    SaltHasEpoch [D1]
        "checksums of records know no epoch: as with an epoch that is not raised, old records in a segment begun \
         again pass for new ones";
    SaltHasSequence [D1]
        "checksums of records know no number of their segment: where one that was given up is begun again in the same \
         session, old records behind a torn tail pass for new ones";
    SaltHasOffset [D1]
        "checksums of records know no offset: a record written to the wrong place of its segment, or copied within \
         it, passes";
    RecordChecksumOnWalk [D1]
        "recovery takes a record without comparing its checksum: a torn record becomes an entry, or an error later";
    ValueChecksumOnWalk [D1]
        "recovery compares no checksum of large values: a torn value of 64 KiB or more becomes an entry that can't \
         be read";

    PredecessorEnd [D2]
        "recovery goes on in the next segment wherever the records of one end: after a power cut with a hole before \
         a segment's end, records behind the hole count";
    ChainEndsWithTheFile [D2]
        "a link beyond the end of the file is followed: a power cut that loses the file's new length but keeps the \
         link makes the file unreadable";
    FreshSegmentAfterUncleanEnd [D2]
        "the log goes on in the torn segment: a new record of the lost one's length, and the old record behind it \
         comes back";
    FreshSegmentBeforeHeader [D2]
        "a checkpoint or close right after a crash says that the log ends in the torn segment: the next session \
         appends there and an old record comes back";
    OldLinksCleared [D2]
        "a segment begun in reused space keeps the old links: the log may be followed out of it to a segment of an \
         earlier session, and ends where that one says";
    LinkEpoch [D2]
        "a link left in reused space is followed: a lost segment begun again leads to the lost segment behind it, \
         which is taken for log or for damage";
    DeadLinksCleared [D2]
        "recovery leaves a torn link that leads nowhere: the next session's link, torn too, completes it, and a lost \
         segment's records come back";
    LinkedSegmentAlone [D2]
        "any head of a segment counts, not only the linked one's: when a power cut loses the new head in the place \
         of a lost segment's, the old records count";
    LinkTwice [D2]
        "a link is written once: one flipped bit in it after a crash cuts off synced segments in silence";
    IdentityTwice [D2]
        "a segment's head is written once: one flipped bit in it after a crash cuts off synced segments in silence, \
         or the file can't be opened";

    BatchWhole [D3]
        "recovery takes the records of a batch one by one: a batch that a crash tore is there in part";

    MarkSearch [D4]
        "a bad record ends the log without a look behind it: after a crash and a damaged synced record, what was \
         synced is missing in silence";
    MarkSearchGoesOn [D4]
        "marks are looked for in the segment of the bad record alone: damage in one segment, the mark in a later \
         one, and what was synced is missing in silence";
    MarkNamesBeginning [D4]
        "a mark names the end of the log after the sync: records appended by others meanwhile and torn by a power \
         cut are called damage, and the file can't be opened";
    MarkAfterSync [D4]
        "a mark is appended before its sync: a power cut in the sync keeps the mark, tears a record before it, and \
         the file can't be opened";
    MarkCheck [D4]
        "a mark's keyed check is not compared: a value that holds a mark with the right checksum behind a torn \
         record makes the file unreadable";

    SyncsTakeTurns [D5]
        "two threads sync at once: one sync fails, the pages look clean, and the other acknowledges what is lost";
    PoisonAfterFailedSync [D5]
        "a failed sync is forgotten: its pages look clean, the next sync succeeds, and a power cut loses what that \
         one acknowledged";
    CoveredIsTakenBefore [D5]
        "a sync counts what others appended during it as durable: their own syncs return at once, and a power cut \
         loses what was acknowledged";
    SyncBeforeAcknowledgement [D5 C17]
        "sync() returns without a sync, and marks say that one was: a power cut loses acknowledged entries, or \
         marks make the file unreadable";
    ImmediateWaits [C17]
        "with Durability::Immediate a write returns before its sync: a power cut loses it";
    SharedCloseSyncs [C17]
        "close() of a store with other handles does not sync: a power cut behind it loses entries";

    JournalSync [D6]
        "the header names a journal and a catalog that are not durable: a power cut in the header's sync keeps the \
         header alone, and the file can't be opened";
    HeaderSyncBeforeInPlace [D6]
        "pages are written in place before the header that names their journal is durable: a power cut keeps the \
         old header over new pages";
    InPlaceSync [D6]
        "the header without the journal is written before the pages are durable in place: a power cut keeps the \
         header and loses pages";
    NextHeaderSyncBeforeFreeing [D6]
        "the journal is freed before the header without it is durable: after a power cut the header names a journal \
         that was punched or overwritten";

    OtherHeaderSlot [D7]
        "a header is written over the durable one: torn by a power cut, it leaves the header of an older state, \
         whose space was reused";
    HeaderChecksum [D7]
        "a header slot counts whatever its checksum says: a torn header is taken for the state of the file";
    CloseWritesBothSlots [D7]
        "a close leaves the header with the journal in the other slot: damage to the newer slot of a closed file \
         brings up a state whose journal is gone";
    FailedAttemptStaysUnused [D7]
        "space of a checkpoint whose header write failed is used at once: a power cut finds that header on disk, \
         over other bytes";
    ThawAfterFailure [D7]
        "the pages of a failed checkpoint stay frozen: the next checkpoint leaves them out, and their changes are \
         missing after a reopen";
    InPlaceRetried [D7]
        "in-place writes that failed are not tried again: the next checkpoint drops their journal, and the file \
         keeps old pages";

    EmptiedSegmentsWait [D8]
        "emptied segments are given up when a checkpoint begins: a crash before its header is durable finds the log \
         punched that the state before replays";
    FreedSpaceWaits [D8]
        "space that the durable header names is punched and used as soon as it is freed: a crash before the next \
         header finds the old state overwritten";
    OpenedStateStays [D8]
        "the same, for the state that the file was opened with alone: until the session's first checkpoint its \
         arrays and catalog are punched when freed";
    ClosedStorePunchesNothing [D8]
        "leases that end with the store punch: a close that fails, or a store whose sync failed, takes the log that \
         only a replay leads to along";
    OpeningPunchesNothing [D16]
        "leases that end in a failed opening punch: the log and the arrays of a file that could not be opened this \
         time are gone";

    PlacesAllocated [D9]
        "blocks for in-place writes are not allocated before the commit: on a full disk the checkpoint can't be \
         completed, and neither the store nor its recovery can go on";
    ReserveKept [D9]
        "no spare segment is kept for what frees: on a full disk a remove or clear has no room for its record";

    DirtyBit [D10]
        "a changed page is not marked: no checkpoint writes it, and after one its changes are missing";
    SavedContent [D10]
        "a frozen page that a writer changes during a checkpoint is journaled as it is now: the checkpoint holds a \
         part of what came after it, and the replay meets it twice";
    RedirtiedPagesStayDirty [D10]
        "a page changed during a checkpoint is clean at its end: the next checkpoint leaves it out, and the change \
         is missing";
    OnlyCleanCopiesDropped [D10]
        "over the memory limit, private copies are dropped of dirty pages too: entries written during a checkpoint \
         disappear at once";
    DirtyLimit [D11]
        "writes go on while checkpoints fail: dirty memory grows beyond index_memory_limit";

    PageChecksum [D12]
        "an index page is used without comparing its checksum: a damaged or lost page gives wrong answers";
    ChecksumPageChecksum [D12]
        "a page of checksums is used without comparing its own: lost, it reads as zeros, and every page under it \
         counts as never written";
    CatalogChecksum [D12]
        "a catalog is used without comparing its checksum: a flipped bit in it moves an array or a segment";
    ChecksumPagesJournaled [D12]
        "a journal holds the index pages without the pages of their checksums: reopened, the new pages fail the old \
         checksums";
    AbsentPagesZeroed [D12]
        "a page that no checkpoint wrote is used as the file has it: with stale bytes there (a punch lost by a \
         power cut), old buckets come up";
    ExtentsZeroed [D12]
        "space for an array is taken as it is: blocks that were not punched when freed show old buckets in a new array";

    HeaderRewrittenBeforeSession [D13]
        "a session overwrites the other slot though the header it opened was only in the page cache: killed in a \
         close, reopened, cut off in the next header's sync, both are gone";
    RecoveryRewritesHeader [D13]
        "recovery does not write the header again: after a failed sync it looks clean but is lost at the next power \
         cut, with pages already in place";
    RecoveryRewritesLog [D13]
        "recovery does not write the log again: after a failed sync it looks clean, is replayed, synced, and lost \
         at the next power cut";
    RecoveryRewritesMarkedSegment [D13]
        "recovery writes the log again from the segment behind the last mark only: records in the mark's segment, \
         clean since a failed sync, are lost";
    RecoverySync [D13]
        "recovery puts the journal in place before what it read is durable: killed in a header's sync, cut off in \
         the recovery, the old header meets new pages";
    RecoveryCopiesJournal [D13]
        "recovery drops the journal without putting its pages in place: old pages under a new header";
    EqualPagesWrittenToo [D13]
        "pages of the journal that the file seems to hold are skipped: clean since a failed sync, they are lost \
         once the journal is dropped";
    RecoveryInPlaceSync [D16]
        "recovery drops the journal before its pages are durable in place: a power cut in the recovery keeps the \
         header and loses pages";
    ChainReserved [D14]
        "recovery does not reserve the segments of the log: the replay's arrays and the next segments are put over \
         them";

    GrowthReplayed [D15]
        "replay passes over the starts of growths: the reopened table has another geometry";
    ReplayTriggersNothing [D15]
        "replay starts growths by itself: one that was put off on a full disk starts in the replay, and the log's \
         own start of it is an error";
    ShrinkLogged [D15]
        "a removal begins a shrink that is not in the log: after a crash the table has another geometry";
    ReplayShrinksNothing [D15]
        "replay starts shrinks by itself: one that a capacity hint forbade, or that was put off on a full disk, \
         comes in the replay, and the reopened table has another geometry";
    ShrinkingFlag [D15]
        "a header does not say that the growth under way halves the array: a checkpoint in it makes a file that \
         can't be opened";
    BatchDoesNoGrowthWork [D15]
        "replay does growth work for the records of a batch too: the reopened table has evacuated other buckets than \
         the one that was lost";
    EvacuationReplayed [D15]
        "replay passes over evacuations that stand in the log by themselves: the keys of a batch behind one are not \
         where it expects them";
    ClearLogged [D15]
        "clear appends no record: after a crash the entries are back, and removals from behind the clear fail the \
         replay";
    OverwriteLogged [D15]
        "where cells hold the values, an overwrite changes its cell and appends no record: after a crash the value before \
         is back";
    OverwriteReplayed [D15]
        "where cells hold the values, replay passes over puts of keys that are there: after a crash they have their \
         values of the last checkpoint";
    MovesDoNoGrowthWork [D15]
        "the replay of a move evacuates buckets as a put does: the reopened table is another one";
    LiveBytesInCatalog [D15]
        "checkpoints count no live bytes: after a reopen the counts of the segments are wrong";
    ReadOnlyOverlay [D17]
        "a read-only open ignores the journal: after a crash between commit and completion it sees old or \
         half-written pages";

    GrowthPutOff [D18]
        "a growth that can't be afforded fails the insert: on a full disk an entry for which there is room is refused";
    ShrinkPutOff [D9 D18]
        "a shrink that can't be afforded fails the removal: on a full disk an entry can't be removed although there \
         is a reserve for that";
    RoomForWholeBatch [D18]
        "no room is secured for the records of a batch, only for its beginning: a batch that reaches the segment's \
         end panics after it appended";
    RoomForGrowthRecord [D18]
        "no room is secured for the record of a growth: an insert or a removal that starts one at a segment's very \
         end panics after it appended";
    SegmentPreallocated [D19]
        "segments are not preallocated: on a full disk a store into the mapped log is a SIGBUS";
    RestOfSegmentAllocated [D19]
        "the rest of the last segment is not allocated again: when a power cut lost the preallocation, a store into \
         it on a full disk is a SIGBUS";

    OldPagesSaved [D21]
        "a checkpoint writes pages in place without saving what they held for the snapshots of earlier ones: these see \
         later pages, and call them corrupt";
    KeptCheckpointHoldsSpace [D21]
        "what a snapshot refers to is freed when the store has no more use for it: its arrays and records are punched";

    BackupHeaderLast [D21]
        "a backup writes its header first: the temporary file of one that was killed passes for a store";
    BackupSynced [D21 D22]
        "a backup is named before it is durable: a power cut leaves a name with half a copy behind it";

    NewFileSynced [D22]
        "a new file is named before it is durable: a power cut leaves a name with half a file behind it";
    NewFileLocked [D22]
        "a new file is named unlocked: a second store opens it for writing while the first is open";
    PublishedWithoutReplacing [D22]
        "a new file replaces one that was made meanwhile: the entries of the faster one are gone";
    DirectorySync [D22]
        "the name of a new file is not made durable: a power cut loses the file, with what was synced in it";
    InodeCompared [D22]
        "the file behind the path may be another than the one locked: replaced between open and lock, it is written \
         in vain";
    LockTaken [C16 D22]
        "a lock that another holds is ignored: two stores write one file";
    RecordWidthsChecked [C16]
        "replay puts what a record has into a cell whatever its width: a log that was not written for these cells \
         panics, or leaves garbage in them";
    SchemaCompared [C16]
        "a file is opened whatever types it was made for: the bytes of one are taken for another's, or for positions \
         in the log";
    MovedRecordsCompared [C13]
        "compaction moves a record without comparing its checksum: the copy of a damaged one passes for whole";
    OldValueChecked [C12]
        "an insert over a damaged value goes on: it reports no previous value instead of an error with nothing changed";
    ChecksumOnRead [C13]
        "a read compares no checksum of the record: a damaged key or small value is a wrong answer";
}
