//! Where tensor data lies: aligned, inside the file, not overlapping; and names and keys that occur once.

use super::Tensor;
use super::parse::Record;
use crate::{Error, ErrorKind, Result};

/// Places every tensor in a file of `file_bytes` whose header ends at `header_end`.
pub(super) fn place(
    records: Vec<Record>,
    header_end: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<Vec<Tensor>> {
    let data_start = header_end.next_multiple_of(alignment);
    let mut tensors = Vec::with_capacity(records.len());
    let mut offsets_at = Vec::with_capacity(records.len());
    for record in records {
        offsets_at.push(record.relative_at);
        tensors.push(place_one(record, data_start, alignment, file_bytes)?);
    }
    refuse_overlap(&tensors, &offsets_at)?;
    Ok(tensors)
}

fn place_one(record: Record, data_start: u64, alignment: u64, file_bytes: u64) -> Result<Tensor> {
    let Record { name, dims, format, bytes, relative, relative_at, .. } = record;
    let refuse =
        |why: String| Err(Error::new(ErrorKind::Layout, why).at_key(name.as_str()).at_offset(relative_at));
    if !relative.is_multiple_of(alignment) {
        return refuse(format!("data offset {relative} is not a multiple of the alignment {alignment}"));
    }
    let Some(offset) = data_start.checked_add(relative) else {
        return refuse(format!("data offset {relative} overflows"));
    };
    if offset.checked_add(bytes).is_none_or(|end| end > file_bytes) {
        return refuse(format!(
            "{bytes} bytes of data at {offset} reach beyond the file's {file_bytes}; an incomplete download?"
        ));
    }
    Ok(Tensor { name, dims, format, offset, bytes })
}

fn refuse_overlap(tensors: &[Tensor], offsets_at: &[u64]) -> Result<()> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    order.sort_by_key(|&idx| tensors[idx].offset);
    for pair in order.windows(2) {
        let (before, after) = (&tensors[pair[0]], &tensors[pair[1]]);
        if before.offset + before.bytes > after.offset {
            let why = format!("data at {} overlaps that of {}", after.offset, before.name);
            return Err(Error::new(ErrorKind::Layout, why)
                .at_key(after.name.as_str())
                .at_offset(offsets_at[pair[1]]));
        }
    }
    Ok(())
}

/// Indices of `names` in the order of the names, for binary search; refuses a name that occurs twice.
/// `at(idx)` is the offset in the file that the error should name.
pub(super) fn index(names: &[&str], what: &str, at: impl Fn(usize) -> u64) -> Result<Vec<u32>> {
    let mut order: Vec<u32> = (0..names.len() as u32).collect();
    order.sort_by_key(|&idx| names[idx as usize]);
    for pair in order.windows(2) {
        let name = names[pair[1] as usize];
        if names[pair[0] as usize] == name {
            return Err(Error::new(ErrorKind::Duplicate, format!("this {what} occurs twice"))
                .at_key(name)
                .at_offset(at(pair[1] as usize)));
        }
    }
    Ok(order)
}
