use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    Error, FnArg, GenericArgument, ItemFn, Path, PathArguments, Result, ReturnType, Signature, Type,
};

/// The order of a task's arguments, for error texts.
const ORDER: &str = "the arguments of a task are `[state,] [Context,] params [, the result of the step before]`, in this order";

/// Writes the checks of a task, which are compiled and never run.
pub(crate) fn check(item: &ItemFn, kser: &Path) -> Result<TokenStream> {
    let function = &item.sig;
    must_be_a_plain_async_fn(function)?;
    let types = types(function)?;
    let names: Vec<_> = (0..types.len())
        .map(|index| format_ident!("argument_{index}"))
        .collect();
    let arguments = arguments(&types, function)?;
    let result = result(&function.output)?;
    let name = &function.ident;
    let (generics, of_generics, bounds) = function.generics.split_for_impl();
    let of_generics = of_generics.as_turbofish();
    // Whether the future of a generic function is `Send` may depend on the types that it is registered with.
    let send = function
        .generics
        .params
        .is_empty()
        .then(|| quote_spanned!(name.span()=> checked_task::is_send(&future);));
    Ok(quote! {
        const _: () = {
            #[allow(warnings, clippy::all, clippy::pedantic)]
            fn check #generics (#(#names: #types),*) #bounds {
                use #kser::checked_task;
                #arguments
                let future = #name #of_generics (#(#names),*);
                #send
                #result
            }
        };
    })
}

fn must_be_a_plain_async_fn(function: &Signature) -> Result<()> {
    if let Some(receiver) = function.receiver() {
        let text = "a function that is a task has no `self`: take the state as the first argument and register the function by `task_with`, or implement `kser::Task` for the struct";
        return Err(Error::new_spanned(receiver, text));
    }
    if function.asyncness.is_none() {
        let text = "a task is an `async fn`: write `async` before `fn`";
        return Err(Error::new_spanned(function.fn_token, text));
    }
    if let Some(lifetime) = function.generics.lifetimes().next() {
        let text = "a task has no lifetimes: it owns its arguments, because it may run longer than its caller";
        return Err(Error::new_spanned(lifetime, text));
    }
    Ok(())
}

/// Returns the types of the arguments, each of which the task owns.
fn types(function: &Signature) -> Result<Vec<&Type>> {
    let mut types = Vec::new();
    for argument in &function.inputs {
        let FnArg::Typed(argument) = argument else {
            continue;
        };
        match &*argument.ty {
            Type::Reference(borrowed) if !is_static(borrowed) => {
                let owned = &borrowed.elem;
                let text = format!(
                    "a task owns its arguments, because it may run longer than its caller: write `{}`",
                    quote!(#owned)
                );
                return Err(Error::new_spanned(borrowed, text));
            }
            Type::ImplTrait(any) => {
                let text = "give the argument a type with a name, such as a type parameter of the function: that of `impl Trait` cannot be named where the function is registered";
                return Err(Error::new_spanned(any, text));
            }
            ty => types.push(ty),
        }
    }
    Ok(types)
}

fn is_static(reference: &syn::TypeReference) -> bool {
    let lifetime = reference.lifetime.as_ref();
    lifetime.is_some_and(|lifetime| lifetime.ident == "static")
}

/// Writes the checks of the arguments, by their number and by where the context is.
fn arguments(types: &[&Type], function: &Signature) -> Result<TokenStream> {
    let contexts: Vec<_> = (0..types.len())
        .filter(|index| is_named(types[*index], "Context"))
        .collect();
    let order = |spanned: &dyn quote::ToTokens| Err(Error::new_spanned(spanned, ORDER));
    let (before, context, after) = match contexts[..] {
        [] => (&types[..0], None, types),
        [at @ (0 | 1)] => (&types[..at], Some(types[at]), &types[at + 1..]),
        [at, ..] => return order(&types[at]),
    };
    let context = context.map(|context| is(context, "context"));
    let state = before.first().map(|state| is(state, "state"));
    let after = match (after, context.is_some()) {
        ([], _) => {
            let text = format!("the params are missing; {ORDER}");
            return Err(match types.last() {
                Some(last) => Error::new_spanned(last, text),
                None => Error::new_spanned(&function.ident, text),
            });
        }
        ([params], _) => is(params, "params"),
        ([first, second], false) => {
            let traits = quote!(
                NoParams,
                ParamsAndPrevious,
                PreviousAndParams,
                StateAndParams,
                UnfitAndParams
            );
            two(first, second, &traits)
        }
        ([params, previous], true) => params_and_previous(params, previous),
        ([state, params, previous], false) => {
            let state = is(state, "state");
            let rest = params_and_previous(params, previous);
            quote!(#state #rest)
        }
        ([_, _, more, ..], true) | ([_, _, _, more, ..], false) => {
            let text = format!("too many arguments; {ORDER}");
            return Err(Error::new_spanned(more, text));
        }
    };
    Ok(quote!(#state #context #after))
}

fn params_and_previous(params: &Type, previous: &Type) -> TokenStream {
    let traits = quote!(AnyAndParams, OthersAndPrevious, ParamsAndPrevious);
    two(params, previous, &traits)
}

/// Writes the checks of two arguments, of which one of these traits is chosen by their types; an error shows at the type that is
/// wrong.
fn two(first: &Type, second: &Type, traits: &TokenStream) -> TokenStream {
    let pair = quote!(checked_task::Two::<#first, #second>::new());
    let check_first = quote_spanned!(first.span()=> (&&&&two).check_first(););
    let check_second = quote_spanned!(second.span()=> (&&&&two).check_second(););
    quote! {
        {
            use checked_task::{#traits};
            let two = #pair;
            #check_first
            #check_second
        }
    }
}

/// Writes the check that a type fits its place; an error shows at the type.
fn is(ty: &Type, place: &str) -> TokenStream {
    let check = format_ident!("is_{place}", span = ty.span());
    quote_spanned!(ty.span()=> checked_task::#check::<#ty>();)
}

/// Writes the check of the type that the task returns. The parts of a `Result` and of a `Json` are checked by themselves, so
/// that the error shows at the part that is wrong.
fn result(output: &ReturnType) -> Result<TokenStream> {
    let ReturnType::Type(_, output) = output else {
        return Ok(TokenStream::new());
    };
    if let [success, error] = type_arguments(output, "Result")[..] {
        let (success, error) = (success_of(success)?, is(error, "error"));
        return Ok(quote!(#success #error));
    }
    if type_arguments(output, "Json").is_empty() && type_arguments(output, "Vec").is_empty() {
        // Also that of `impl Trait`, which has no name.
        return Ok(quote_spanned!(output.span()=> checked_task::has_output(&future);));
    }
    success_of(output)
}

fn success_of(ty: &Type) -> Result<TokenStream> {
    if let [value] = type_arguments(ty, "Json")[..] {
        return Ok(is(value, "json"));
    }
    if let [item] = type_arguments(ty, "Vec")[..]
        && is_named(item, "Step")
    {
        let text = "a function that returns steps is an operation: register it by `operation`, without `#[kser::task]`";
        return Err(Error::new_spanned(ty, text));
    }
    Ok(is(ty, "output"))
}

/// Returns the types between the angle brackets of a type with this name, however it is qualified; none for other types.
fn type_arguments<'a>(ty: &'a Type, name: &str) -> Vec<&'a Type> {
    let Some(segment) = last_segment(ty).filter(|segment| segment.ident == name) else {
        return Vec::new();
    };
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

fn is_named(ty: &Type, name: &str) -> bool {
    last_segment(ty).is_some_and(|segment| segment.ident == name)
}

fn last_segment(ty: &Type) -> Option<&syn::PathSegment> {
    match ty {
        Type::Path(ty) => ty.path.segments.last(),
        _ => None,
    }
}
