//! The checks that the attribute `kser::task` writes beside a function. They are generic functions and traits whose error
//! texts give the reason why a type does not fit its place. No public API: programs reach them through the attribute only.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Context, Entrypoint, IntoOutcome, TaskError};

/// A type that can be the params of a task.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the params of a task",
    label = "not the params of a task",
    note = "derive `Serialize`, `Deserialize` and `Entrypoint`, and name it: `#[entrypoint(\"topic.Name\")]`",
    note = "the arguments of a task are `[state,] [Context,] params [, the result of the step before]`, in this order"
)]
pub trait Params {}
#[diagnostic::do_not_recommend]
impl<T: Entrypoint> Params for T {}

/// A place of which types can be the state of a task. The type is an argument of the trait, because the compiler would propose
/// to borrow a `Self` that cannot be cloned.
#[diagnostic::on_unimplemented(
    message = "`{T}` cannot be the state of a task: it is not `Clone + Send + Sync + 'static`",
    label = "not `Clone + Send + Sync + 'static`",
    note = "each attempt gets a clone of the state that was given to `task_with`: put what cannot be cloned into an `Arc`"
)]
pub trait State<T> {}
#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> State<T> for Place {}

/// The place of an argument.
#[derive(Debug)]
pub struct Place;

/// A type that can be read from the result of the step before.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the result of the step before",
    label = "not `Deserialize` of owned data, or not `Send`",
    note = "derive `Deserialize` for it, and own its data: `String` in place of `&str`"
)]
pub trait Previous {}
#[diagnostic::do_not_recommend]
impl<T: DeserializeOwned + Send + 'static> Previous for T {}

/// Two arguments, of which one is the params.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the arguments of a task: neither is the params",
    label = "neither implements `Entrypoint`",
    note = "derive `Serialize`, `Deserialize` and `Entrypoint` for the params, and name them: `#[entrypoint(\"topic.Name\")]`",
    note = "the arguments of a task are `[state,] [Context,] params [, the result of the step before]`, in this order"
)]
pub trait Arguments {}
#[diagnostic::do_not_recommend]
impl<S, P: Entrypoint> Arguments for (S, P) {}

/// A type that can stand before the params `P`. No type can where this is asked.
#[diagnostic::on_unimplemented(
    message = "`{Self}` stands before the params: swap `{Self}` and `{P}`",
    label = "the result of the step before comes after the params, `{P}`",
    note = "the arguments of a task are `[state,] [Context,] params [, the result of the step before]`, in this order",
    note = "a state is `Clone + Send + Sync + 'static`, and comes first"
)]
pub trait BeforeParams<P> {}
#[diagnostic::do_not_recommend]
impl<P> BeforeParams<P> for Place {}

/// A type that a task can return.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `{Self}`",
    label = "not the result of a task",
    note = "return `()`, text, `Json<T>` of a `T` that implements `Serialize`, an `Outcome`, or a `Result` of these",
    note = "the error of a `Result` is a `TaskError`, or implements `std::error::Error`"
)]
pub trait Output {}
#[diagnostic::do_not_recommend]
impl<T: IntoOutcome> Output for T {}

/// A value that a task can return as `Json`.
#[diagnostic::on_unimplemented(
    message = "a task cannot return `Json<{Self}>`",
    label = "not `Serialize`, or not `Send`",
    note = "derive `Serialize` for `{Self}`"
)]
pub trait JsonValue {}
#[diagnostic::do_not_recommend]
impl<T: Serialize + Send> JsonValue for T {}

/// A type that a task can fail with.
#[diagnostic::on_unimplemented(
    message = "a task cannot fail with `{Self}`",
    label = "not the error of a task",
    note = "fail with a `TaskError`: `?` makes it of every error that implements `std::error::Error`",
    note = "of other errors, such as those of anyhow and eyre, `.permanent()?`, `.temporary()?` and `.code(422)?` of `TaskResultExt` make it"
)]
pub trait Failure {}
#[diagnostic::do_not_recommend]
impl<T: Into<TaskError> + Send> Failure for T {}

pub const fn is_context<T: IsContext>() {}
pub const fn is_state<T>()
where
    Place: State<T>,
{
}
pub const fn is_params<T: Params>() {}
pub const fn is_previous<T: Previous>() {}
pub const fn is_output<T: Output>() {}
pub const fn is_json<T: JsonValue>() {}
pub const fn is_error<T: Failure>() {}
pub const fn is_send<F: Future + Send>(_: &F) {}
pub const fn has_output<F: Future<Output: Output>>(_: &F) {}

/// The context, and no other type of that name.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the `Context` of kser",
    label = "another type of that name"
)]
pub trait IsContext {}
impl IsContext for Context {}

/// Two arguments. The traits below tell by their types which they are, and check them: of the traits in scope, a call by
/// `&&&&` takes the first that is implemented, as one with more `&` goes before one with fewer.
#[derive(Debug)]
pub struct Two<A, B>(PhantomData<fn() -> (A, B)>);

impl<A, B> Two<A, B> {
    #[expect(clippy::new_without_default, reason = "only the attribute calls it")]
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<A, B> Clone for Two<A, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, B> Copy for Two<A, B> {}

/// The params and the result of the step before.
pub trait ParamsAndPrevious<A, B> {
    fn check_first(&self) {}
    fn check_second(&self)
    where
        B: Previous,
    {
    }
}
impl<A: Entrypoint, B> ParamsAndPrevious<A, B> for &&&Two<A, B> {}

/// The state and the params.
pub trait StateAndParams {
    fn check_first(&self) {}
    fn check_second(&self) {}
}
impl<A, B: Entrypoint> StateAndParams for &&Two<A, B> where Place: State<A> {}

/// The result of the step before and the params: the wrong order.
pub trait PreviousAndParams<A, B> {
    fn check_first(&self)
    where
        A: BeforeParams<B>,
    {
    }
    fn check_second(&self) {}
}
impl<A: Previous, B: Entrypoint> PreviousAndParams<A, B> for &Two<A, B> {}

/// A type that cannot be the state, and the params.
pub trait UnfitAndParams<A> {
    fn check_first(&self)
    where
        Place: State<A>,
    {
    }
    fn check_second(&self) {}
}
impl<A, B: Entrypoint> UnfitAndParams<A> for Two<A, B> {}

/// Two arguments of which neither is the params.
pub trait NoParams<A, B>: Sized {
    fn check_first(self)
    where
        (A, B): Arguments,
    {
    }
    fn check_second(self) {}
}
impl<A, B> NoParams<A, B> for Two<A, B> {}

/// The params behind an argument that is not the state: the wrong order.
pub trait AnyAndParams<A, B> {
    fn check_first(&self)
    where
        A: BeforeParams<B>,
    {
    }
    fn check_second(&self) {}
}
impl<A, B: Entrypoint> AnyAndParams<A, B> for &Two<A, B> {}

/// Two arguments of which neither is the params, behind the state or the context.
pub trait OthersAndPrevious<A, B> {
    fn check_first(&self)
    where
        A: Params,
    {
    }
    fn check_second(&self)
    where
        B: Previous,
    {
    }
}
impl<A, B> OthersAndPrevious<A, B> for Two<A, B> {}
