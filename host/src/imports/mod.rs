//! The files that come with a function's code: fetched from where the engine points, under the
//! operator's policy, checked, and kept.
//!
//! A fetch is a request that a stranger makes the server send, so everything about it is checked:
//! the URL ([`target`]), the address that its host has at this moment ([`network`], [`resolver`]),
//! every redirect, how much comes and how long it takes ([`client`]). What comes is checked against
//! the import's tag ([`tag`]) and, when it is an archive, as one ([`crate::archive`]).

mod cache;
mod client;
mod config;
mod error;
mod failure;
mod guest;
mod hosts;
mod network;
mod once;
mod resolver;
mod tag;
mod target;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use ureq::unversioned::resolver::{DefaultResolver, Resolver};

use self::cache::{Cache, Kept, Key};
use self::client::{Answer, Client, Validators, checked_headers};
pub use self::config::{ImportsConfig, Scheme};
pub use self::error::{ImportError, ImportProblem, ImportsError, UrlProblem};
pub use self::guest::{DIRECTORY_OPTION, GuestImports, IMPORTS_DIRECTORY, guest_files};
pub use self::hosts::{HostRule, HostRuleError};
pub use self::network::AddressKind;
use self::once::Once;
use crate::archive::{check_name, check_zip};

/// One file that a function's code needs. Printing it shows neither the URL's query nor the values
/// of the headers, which are secrets.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Where the user put it, such as `@stage/lib/helper.py`; its last part names the file.
    pub location: String,
    /// From where the engine lets it be fetched. Usually signed, and different for each query.
    pub url: String,
    /// An ETag or a length by which the engine tells the content's versions apart.
    #[serde(default)]
    pub tag: Option<String>,
    /// Headers to send to the URL's host, and to no other.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

impl fmt::Debug for Import {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Import")
            .field("location", &self.location)
            .field("url", &without_query(&self.url))
            .field("tag", &self.tag)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .finish()
    }
}

impl Import {
    /// The URL without its query: what stays the same when the engine signs it again.
    pub fn url_without_query(&self) -> &str {
        without_query(&self.url)
    }
}

fn without_query(url: &str) -> &str {
    &url[..url.find(['?', '#']).unwrap_or(url.len())]
}

/// A file that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedFile {
    /// Its name in the imports' directory.
    pub name: String,
    /// Its content.
    pub content: Arc<[u8]>,
    /// SHA-256 digest of the content.
    pub sha256: [u8; 32],
    /// Whether the content was kept before, and its server said in this call that it is up to date.
    pub revalidated: bool,
}

/// Fetches imports, and keeps them. Cheap to share behind an [`Arc`].
#[derive(Debug)]
pub struct Imports {
    config: ImportsConfig,
    client: Client,
    cache: Cache,
    once: Once<Content, ImportProblem>,
}

/// What a fetch yields.
#[derive(Clone, Debug)]
struct Content {
    bytes: Arc<[u8]>,
    revalidated: bool,
}

/// An import whose name and URL are good.
struct Wanted<'a> {
    import: &'a Import,
    name: String,
    key: Key,
}

impl Imports {
    /// Opens the cache below `cache_dir`.
    ///
    /// # Errors
    /// [`ImportsError`] when the cache or the file of certificates cannot be used.
    pub fn new(config: &ImportsConfig, cache_dir: &Path) -> Result<Self, ImportsError> {
        Self::with_lookup(config, cache_dir, Arc::new(DefaultResolver::default()))
    }

    fn with_lookup(
        config: &ImportsConfig,
        cache_dir: &Path,
        lookup: Arc<dyn Resolver>,
    ) -> Result<Self, ImportsError> {
        Ok(Self {
            client: Client::new(config, lookup)?,
            cache: Cache::open(cache_dir, config.cache_bytes)?,
            once: Once::new(),
            config: config.clone(),
        })
    }

    /// Fetches what is not kept, and asks about what is older than `imports.revalidate_s` and has
    /// no tag. Of imports with the same file name the last is taken and the others are not
    /// fetched; the files come in the order of the imports that were taken. Blocks.
    ///
    /// # Errors
    /// [`ImportError`], naming the import.
    pub fn fetch(&self, tenant: &str, imports: &[Import]) -> Result<Vec<ImportedFile>, ImportError> {
        let wanted = self.wanted(tenant, imports)?;
        let mut left = self.config.total_bytes;
        let mut files = Vec::with_capacity(wanted.len());
        for Wanted { import, name, key } in wanted {
            let failed = |problem| refused(import, problem);
            let content = self.content(tenant, import, key).map_err(failed)?;
            let bytes = u64::try_from(content.bytes.len()).unwrap_or(u64::MAX);
            if bytes > self.config.import_bytes {
                let problem = ImportProblem::TooLarge { limit: self.config.import_bytes, requested: bytes };
                return Err(failed(problem));
            }
            left = left.checked_sub(bytes).ok_or(ImportError::TotalBytes {
                limit: self.config.total_bytes,
                requested: self.config.total_bytes - left + bytes,
            })?;
            if guest::is_archive(&name) {
                check_zip(&content.bytes, &self.config.archives)
                    .map_err(|error| failed(ImportProblem::Archive(error)))?;
            }
            let sha256 = Sha256::digest(&content.bytes).into();
            files.push(ImportedFile {
                name,
                content: content.bytes,
                sha256,
                revalidated: content.revalidated,
            });
        }
        Ok(files)
    }

    /// Whether [`Imports::fetch`] would answer without asking anybody.
    pub fn is_fresh(&self, tenant: &str, imports: &[Import]) -> bool {
        let Ok(wanted) = self.wanted(tenant, imports) else {
            return false;
        };
        wanted.iter().all(|wanted| self.cache.is_fresh(wanted.key, self.age(wanted.import)))
    }

    /// Checks what can be checked without asking anybody, and leaves out what a later import
    /// replaces.
    fn wanted<'a>(&self, tenant: &str, imports: &'a [Import]) -> Result<Vec<Wanted<'a>>, ImportError> {
        if imports.is_empty() {
            return Ok(Vec::new());
        }
        if !self.config.enabled {
            return Err(ImportError::Disabled);
        }
        let limit = self.config.max_imports;
        if imports.len() > limit {
            return Err(ImportError::TooMany { limit, requested: imports.len() });
        }
        let mut wanted = Vec::with_capacity(imports.len());
        let mut last = HashMap::with_capacity(imports.len());
        for (index, import) in imports.iter().enumerate() {
            let failed = |problem| refused(import, problem);
            let name = file_name(&import.location, index).map_err(failed)?;
            let target = self.client.target(&import.url).map_err(failed)?;
            checked_headers(&import.headers, &target).map_err(failed)?;
            let key = match tag_of(import) {
                Some(tag) => {
                    Key::of(&[b"tag", tenant.as_bytes(), import.location.as_bytes(), tag.as_bytes()])
                }
                None => {
                    let url = target.without_query();
                    Key::of(&[b"url", tenant.as_bytes(), import.location.as_bytes(), url.as_bytes()])
                }
            };
            last.insert(name.clone(), index);
            wanted.push(Wanted { import, name, key });
        }
        let mut index = 0..;
        wanted.retain(|wanted| index.next() == last.get(&wanted.name).copied());
        Ok(wanted)
    }

    /// How old content may be before its server is asked. Content with a tag never changes.
    fn age(&self, import: &Import) -> Option<Duration> {
        match tag_of(import) {
            Some(_) => None,
            None => Some(Duration::from_secs(self.config.revalidate_s)),
        }
    }

    fn content(&self, tenant: &str, import: &Import, key: Key) -> Result<Content, ImportProblem> {
        let headers: Vec<&[u8]> =
            import.headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]).collect();
        let question = [&[tenant.as_bytes(), import.url.as_bytes()][..], &headers].concat();
        self.once.run(key, Key::of(&question), || {
            let kept = self.cache.get(key);
            match kept {
                Some(kept) if self.cache.is_fresh(key, self.age(import)) => Ok(kept.into()),
                kept => self.ask(import, key, kept),
            }
        })
    }

    /// Asks the server for the content, or whether the kept content is up to date.
    fn ask(&self, import: &Import, key: Key, kept: Option<Kept>) -> Result<Content, ImportProblem> {
        let target = self.client.target(&import.url)?;
        let headers = checked_headers(&import.headers, &target)?;
        let known = kept.as_ref().map_or_else(Validators::default, |kept| kept.validators.clone());
        match (self.client.fetch(&target, &headers, &known, self.config.import_bytes), kept) {
            (Ok(Answer::File { content, validators }), _) => {
                let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
                if let Some(tag) = tag_of(import) {
                    tag::check(tag, validators.etag.as_deref(), length)?;
                }
                self.cache.put(key, &validators, &content);
                Ok(Content { bytes: content.into(), revalidated: false })
            }
            (Ok(Answer::NotModified), Some(kept)) => {
                self.cache.confirm(key);
                Ok(Content { revalidated: true, ..kept.into() })
            }
            (Ok(Answer::NotModified), None) => {
                Err(ImportProblem::Status { host: target.host().to_owned(), status: 304 })
            }
            (Err(problem), Some(kept)) if self.config.stale_if_error && problem.is_transient() => {
                let location = shown(&import.location);
                tracing::warn!(location, %problem, "an import is used without its server's consent");
                Ok(kept.into())
            }
            (Err(problem), _) => Err(problem),
        }
    }
}

impl From<Kept> for Content {
    fn from(kept: Kept) -> Content {
        Content { bytes: kept.content.into(), revalidated: false }
    }
}

/// An empty tag says nothing.
fn tag_of(import: &Import) -> Option<&str> {
    import.tag.as_deref().filter(|tag| !tag.is_empty())
}

/// The name that Databend gives an import: the last part of its location.
fn file_name(location: &str, index: usize) -> Result<String, ImportProblem> {
    let last = location.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    if last.is_empty() {
        return Ok(format!("import_{index}"));
    }
    check_name(last).map_err(ImportProblem::Name)?;
    Ok(last.to_owned())
}

fn refused(import: &Import, problem: ImportProblem) -> ImportError {
    ImportError::Import { location: shown(&import.location), problem }
}

/// A location as it appears in messages: escaped, and not longer than a line.
fn shown(location: &str) -> String {
    const MOST_CHARS: usize = 120;
    let mut shown: String = location.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect();
    if location.chars().nth(MOST_CHARS).is_some() {
        shown.push('…');
    }
    shown
}
