#![doc = include_str!("../README.md")]

mod entrypoint;
mod task;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Implements `kser::Entrypoint` for a struct, whose name on the wire the attribute `entrypoint` gives.
///
/// ```
/// # use kser::Entrypoint;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Serialize, Deserialize, Entrypoint)]
/// #[entrypoint("dice.DiceRoll")]
/// struct DiceRoll {
///     sides: u8,
/// }
/// ```
///
/// The struct is a JSON object: it has named fields, or it wraps one value that is an object, as in
/// `struct AnyParams(kser::message::Object);`. It has no generics, because a name stands for one type, and no lifetimes, because
/// params own their data.
///
/// # Other names of the crate
///
/// The code that is generated names the crate `::kser`. In a program that renames it (`package = "kser"` in Cargo.toml) or has
/// it through another crate, the attribute gives the path: `#[entrypoint("dice.DiceRoll", crate = my_framework::kser)]`.
/// With `crate = kser_core` a library needs no more than `kser-core`.
#[proc_macro_derive(Entrypoint, attributes(entrypoint))]
pub fn derive_entrypoint(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as syn::DeriveInput);
    let code = entrypoint::derive(&item);
    code.unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Checks that an `async fn` is a task. If it is none, the error names the mistake. The function stays as it is.
///
/// Without it, the compiler knows no more than that the function does not implement `IntoTask`.
///
/// ```
/// # use kser::{Context, Entrypoint, Json, TaskError};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Entrypoint)]
/// # #[entrypoint("shop.Ship")]
/// # struct Ship {}
/// # #[derive(Serialize, Deserialize)]
/// # struct Receipt {}
/// # #[derive(Serialize, Deserialize)]
/// # struct Parcel {}
/// # #[derive(Clone)]
/// # struct Database {}
/// #[kser::task]
/// async fn ship(
///     db: Database,     // the state, if the function is registered by `task_with`
///     ctx: Context,     // the id, the attempt and so on, if the task wants them
///     ship: Ship,       // the params
///     receipt: Receipt, // the result of the step before, if the task wants it
/// ) -> Result<Json<Parcel>, TaskError> {
///     Ok(Json(Parcel {}))
/// }
/// ```
///
/// It checks functions outside of `impl` blocks, whose types are all named: no `self`, no `impl Trait` among the arguments. The
/// context is known by the name of its type, `Context`. The checks are compiled and never run.
///
/// A generic function, such as `charge<B: Bank>(bank: B, charge: Charge)` that is registered as `charge::<MyBank>`, is checked by
/// the bounds of its type parameters. Whether its future is `Send` depends on the types, and is checked where it is registered.
///
/// In a program that renames the crate, the attribute takes its path: `#[my_kser::task(crate = my_kser)]`.
#[proc_macro_attribute]
pub fn task(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let kser = parse_macro_input!(arguments with entrypoint::crate_path);
    let function = item.clone();
    let function = syn::parse(function).map_err(|error| {
        let text = "`#[kser::task]` checks functions, which are written `async fn`";
        syn::Error::new(error.span(), text)
    });
    let checks = function.and_then(|function| task::check(&function, &kser));
    let checks = checks.unwrap_or_else(syn::Error::into_compile_error);
    let mut code = item;
    code.extend(TokenStream::from(checks));
    code
}
