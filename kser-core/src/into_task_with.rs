use serde::de::DeserializeOwned;

use crate::{Context, Entrypoint, IntoOutcome, IntoTask, TaskEntry};

/// An `async fn` that is a task with state: its first argument. The others are as those of [`IntoTask`].
///
/// ```
/// # use kser_core::{Entrypoint, IntoTaskWith, Registry, RetryPolicy};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize)] struct Charge { cents: u32 }
/// # impl Entrypoint for Charge { const PATH: &'static str = "shop.Charge"; }
/// # #[derive(Clone)] struct Database;
/// async fn charge(db: Database, charge: Charge) -> String {
///     format!("{} cents are charged", charge.cents)
/// }
///
/// let charge = charge.with_state(Database).with_retry(RetryPolicy::never());
/// let registry = Registry::new().task(charge).build()?;
/// # Ok::<(), kser_core::Error>(())
/// ```
///
/// `By` tells the forms apart and is never written. If a function does not fit, the attribute `kser::task` on it says why.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a task with the state `{S}`",
    label = "not an `async fn(State, [Context,] Params [, Previous])` whose first argument is `{S}`",
    note = "`{S}` must be `Clone + Send + Sync`, `Params` implement `Entrypoint`, the result `IntoOutcome`, and the future be `Send`",
    note = "put `#[kser::task]` on the function to see what is missing"
)]
pub trait IntoTaskWith<S, By>: Sized {
    /// Makes the entry. Each attempt gets a clone of `state`.
    fn with_state(self, state: S) -> TaskEntry;
}

#[diagnostic::do_not_recommend]
impl<S, F, P, Fut, R> IntoTaskWith<S, fn(S, P) -> R> for F
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoOutcome + 'static,
{
    fn with_state(self, state: S) -> TaskEntry {
        IntoTask::<fn(P) -> R>::into_task(move |params: P| self(state.clone(), params))
    }
}

#[diagnostic::do_not_recommend]
impl<S, F, P, Fut, R> IntoTaskWith<S, fn(S, Context, P) -> R> for F
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, Context, P) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoOutcome + 'static,
{
    fn with_state(self, state: S) -> TaskEntry {
        let call = move |ctx: Context, params: P| self(state.clone(), ctx, params);
        IntoTask::<fn(Context, P) -> R>::into_task(call)
    }
}

#[diagnostic::do_not_recommend]
impl<S, F, P, T, Fut, R> IntoTaskWith<S, fn(S, P, T) -> R> for F
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, P, T) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    T: DeserializeOwned + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoOutcome + 'static,
{
    fn with_state(self, state: S) -> TaskEntry {
        let call = move |params: P, previous: T| self(state.clone(), params, previous);
        IntoTask::<fn(P, T) -> R>::into_task(call)
    }
}

#[diagnostic::do_not_recommend]
impl<S, F, P, T, Fut, R> IntoTaskWith<S, fn(S, Context, P, T) -> R> for F
where
    S: Clone + Send + Sync + 'static,
    F: Fn(S, Context, P, T) -> Fut + Send + Sync + 'static,
    P: Entrypoint,
    T: DeserializeOwned + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
    R: IntoOutcome + 'static,
{
    fn with_state(self, state: S) -> TaskEntry {
        let call =
            move |ctx: Context, params: P, previous: T| self(state.clone(), ctx, params, previous);
        IntoTask::<fn(Context, P, T) -> R>::into_task(call)
    }
}
