//! Ctrl-C and SIGTERM, seen between two steps, so that what was begun can be undone.

use crate::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Whether the user wants an end.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Takes over SIGINT and SIGTERM of this process.
    pub fn on_signals() -> Result<Self, Error> {
        let stop = Self::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&stop.0)).map_err(|source| Error::Io {
                doing: "take over signal",
                path: signal.to_string().into(),
                source,
            })?;
        }
        Ok(stop)
    }

    /// An error once the user wants an end.
    pub fn check(&self) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Asks `ready` every `pause` until it gives a value or `limit` is over (`None`).
    pub fn wait<T>(
        &self,
        limit: Duration,
        pause: Duration,
        mut ready: impl FnMut() -> Result<Option<T>, Error>,
    ) -> Result<Option<T>, Error> {
        let end = Instant::now() + limit;
        loop {
            self.check()?;
            if let Some(value) = ready()? {
                return Ok(Some(value));
            }
            if Instant::now() >= end {
                return Ok(None);
            }
            thread::sleep(pause);
        }
    }

    /// Sleeps, but not past the user's wish.
    pub fn sleep(&self, time: Duration) -> Result<(), Error> {
        self.wait(time, Duration::from_millis(50).min(time), || Ok(None::<()>))
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_ends_with_the_value_or_the_limit_or_the_users_wish() {
        let stop = Stop::default();
        let mut asked = 0;
        let pause = Duration::from_millis(1);
        let found = stop.wait(Duration::from_secs(5), pause, || {
            asked += 1;
            Ok((asked == 3).then_some("ready"))
        });
        assert_eq!((found.unwrap(), asked), (Some("ready"), 3));
        assert!(stop.wait(pause, pause, || Ok(None::<()>)).unwrap().is_none());
        stop.0.store(true, Ordering::Relaxed);
        assert!(matches!(
            stop.sleep(Duration::from_secs(60)),
            Err(Error::Interrupted)
        ));
    }
}
