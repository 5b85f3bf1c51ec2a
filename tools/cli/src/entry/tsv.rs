//! One entry a line: key, tab, value; of a set, the key alone. Text has the escapes of [`text`](crate::text).

use std::io::{self, Write};

use super::{Entry, quoted_line, split_entry};
use crate::text::{Malformed, unescape, write_escaped};
use crate::types::{Type, Types};

pub fn write(out: &mut impl Write, types: Types, key: &[u8], value: &[u8]) -> io::Result<()> {
    write_escaped(out, &types.key.text(key))?;
    if types.value != Type::Unit {
        out.write_all(b"\t")?;
        write_escaped(out, &types.value.text(value))?;
    }
    out.write_all(b"\n")
}

pub fn read(line: &[u8], types: Types) -> Result<Entry<'_>, Malformed> {
    let (key, value) = split_entry(line, b"\t", types)
        .ok_or_else(|| Malformed(format!("expected KEY, a tab, VALUE, found {}", quoted_line(line))))?;
    Ok((types.key.parse(unescape(key)?)?, types.value.parse(unescape(value)?)?))
}
