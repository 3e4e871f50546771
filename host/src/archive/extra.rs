//! Extra fields: the few that change what an entry is.

use super::error::ArchiveError;

const ZIP64: u16 = 0x0001;
const UNIX_PKWARE: u16 = 0x000d;
const STRONG_ENCRYPTION: u16 = 0x0017;
const UNICODE_PATH: u16 = 0x7075;
const UNIX_ASI: u16 = 0x756e;
const AES: u16 = 0x9901;

/// Bytes of the PKWARE Unix field before the target of a link or the numbers of a device.
const UNIX_PKWARE_FIXED_BYTES: usize = 12;
/// Bytes of the ASi Unix field before the target of a link.
const UNIX_ASI_FIXED_BYTES: usize = 14;

/// Checks the extra fields of one header, and returns the content of the ZIP64 field.
///
/// `name` is the name in the same header; a field that would replace it by another is refused.
pub(super) fn zip64<'a>(
    mut fields: &'a [u8],
    name: &[u8],
    entry: &dyn Fn() -> String,
) -> Result<Option<&'a [u8]>, ArchiveError> {
    let refused = |problem| Err(ArchiveError::Extra { entry: entry(), problem });
    let mut zip64 = None;
    let mut unicode_path = false;
    while !fields.is_empty() {
        let Some(([id_low, id_high, size_low, size_high], rest)) = fields.split_first_chunk() else {
            return refused("is cut");
        };
        let size = usize::from(u16::from_le_bytes([*size_low, *size_high]));
        let Some((content, rest)) = rest.split_at_checked(size) else {
            return refused("is cut");
        };
        fields = rest;
        match u16::from_le_bytes([*id_low, *id_high]) {
            ZIP64 if zip64.is_some() => return refused("ZIP64 occurs twice"),
            ZIP64 => zip64 = Some(content),
            UNICODE_PATH if unicode_path => return refused("Unicode Path occurs twice"),
            // A version byte, a checksum, and the name.
            UNICODE_PATH if content.get(5..) != Some(name) => return refused("gives it another name"),
            UNICODE_PATH => unicode_path = true,
            STRONG_ENCRYPTION | AES => return Err(ArchiveError::Encrypted { entry: entry() }),
            UNIX_PKWARE if content.len() > UNIX_PKWARE_FIXED_BYTES => {
                return Err(ArchiveError::Kind { entry: entry(), kind: "a link or a device" });
            }
            UNIX_ASI if content.len() > UNIX_ASI_FIXED_BYTES => {
                return Err(ArchiveError::Kind { entry: entry(), kind: "a link" });
            }
            _ => {}
        }
    }
    Ok(zip64)
}

/// Reads a ZIP64 field that holds exactly `N` numbers of 64 bits.
pub(super) fn numbers<const N: usize>(field: &[u8]) -> Option<[u64; N]> {
    let (chunks, rest) = field.as_chunks::<8>();
    let chunks: &[[u8; 8]; N] = chunks.try_into().ok()?;
    rest.is_empty().then(|| chunks.map(u64::from_le_bytes))
}
