//! The process's limit on open descriptors, which images in memory share with connections.

use std::num::NonZeroUsize;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that an image in memory takes at most: its pages, and a second layout of them.
const OF_IMAGE: u64 = 2;

/// Raises the limit as far as this process may: shells and service managers start programs with a low one
/// for those that cannot cope with more.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(?current, %error, "the limit on open descriptors cannot be raised");
    }
}

/// Images that may be in memory: as many as are configured, if half of the descriptors are enough for them.
pub(crate) fn images(configured: NonZeroUsize) -> usize {
    let configured = configured.get();
    let Some(limit) = getrlimit(Resource::Nofile).current else { return configured };
    let images = fit(limit, configured);
    if images < configured {
        tracing::warn!(
            limit,
            images,
            configured,
            "the limit on open descriptors leaves room for fewer images than server.max_resident_images"
        );
    }
    images
}

fn fit(limit: u64, configured: usize) -> usize {
    usize::try_from(limit / 2 / OF_IMAGE).unwrap_or(usize::MAX).clamp(1, configured)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_descriptors_are_for_images() {
        for (limit, configured, images) in
            [(1024, 1000, 256), (4096, 1000, 1000), (u64::MAX, 1000, 1000), (1, 1000, 1), (65_536, 1, 1)]
        {
            assert_eq!(fit(limit, configured), images, "{limit}");
        }
    }
}
