use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Data, DeriveInput, Error, Fields, Generics, LitStr, Path, Result, Token};

/// The name of the attribute that the derive reads.
const ATTRIBUTE: &str = "entrypoint";

/// Writes the `impl Entrypoint` of a struct.
pub(crate) fn derive(item: &DeriveInput) -> Result<TokenStream> {
    must_be_an_object(item)?;
    must_be_one_type(&item.generics)?;
    let Arguments { name, kser } = arguments(item)?;
    let params = &item.ident;
    Ok(quote! {
        #[automatically_derived]
        impl #kser::Entrypoint for #params {
            const PATH: &'static str = #name;
        }
    })
}

/// The arguments of the attribute: `"dice.DiceRoll"`, or `"dice.DiceRoll", crate = some::path`.
struct Arguments {
    name: LitStr,
    kser: Path,
}

impl Parse for Arguments {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.parse::<LitStr>().map_err(|error| {
            let text = r#"the name is missing: write `#[entrypoint("topic.Name")]`"#;
            Error::new(error.span(), text)
        })?;
        if name.value().is_empty() {
            let text = "the name of an entrypoint is empty, and no registry takes it";
            return Err(Error::new(name.span(), text));
        }
        let kser = match input.is_empty() {
            true => syn::parse_quote!(::kser),
            false => {
                input.parse::<Token![,]>()?;
                crate_path(input)?
            }
        };
        input.parse::<Option<Token![,]>>()?;
        match input.is_empty() {
            true => Ok(Self { name, kser }),
            false => Err(input.error("the name is followed by `crate = path` at most")),
        }
    }
}

/// Reads `crate = some::path`; nothing stands for `::kser`.
pub(crate) fn crate_path(input: ParseStream<'_>) -> Result<Path> {
    if input.is_empty() {
        return Ok(syn::parse_quote!(::kser));
    }
    input.parse::<Token![crate]>()?;
    input.parse::<Token![=]>()?;
    input.call(Path::parse_mod_style)
}

fn arguments(item: &DeriveInput) -> Result<Arguments> {
    let mut attributes = item.attrs.iter().filter(|attribute| is_ours(attribute));
    let Some(attribute) = attributes.next() else {
        let params = &item.ident;
        let text = format!(
            "`{params}` has no name on the wire: add `#[entrypoint(\"topic.{params}\")]`, whose part before the first dot is the topic"
        );
        return Err(Error::new_spanned(params, text));
    };
    if let Some(second) = attributes.next() {
        let text = "an entrypoint has one name, and this is the second";
        return Err(Error::new_spanned(second, text));
    }
    match &attribute.meta {
        syn::Meta::List(_) => attribute.parse_args(),
        _ => {
            let text = r#"write the name in parentheses: `#[entrypoint("topic.Name")]`"#;
            Err(Error::new_spanned(attribute, text))
        }
    }
}

fn is_ours(attribute: &Attribute) -> bool {
    attribute.path().is_ident(ATTRIBUTE)
}

/// Refuses types that serde does not write as a JSON object, which params are.
fn must_be_an_object(item: &DeriveInput) -> Result<()> {
    let params = &item.ident;
    let refuse = |text: String| Err(Error::new_spanned(params, text));
    let fields = match &item.data {
        Data::Struct(item) => &item.fields,
        Data::Enum(_) => {
            return refuse(format!(
                "the params of a task are a struct: wrap the enum, as in `struct {params}Params {{ kind: {params} }}`"
            ));
        }
        Data::Union(_) => return refuse("the params of a task are a struct, no union".to_owned()),
    };
    // With attributes of serde the form on the wire may be any.
    if item.attrs.iter().any(|attr| attr.path().is_ident("serde")) {
        return Ok(());
    }
    match fields {
        Fields::Unit => refuse(format!(
            "params are a JSON object, and a unit struct is `null`: write `struct {params} {{}}`"
        )),
        Fields::Unnamed(fields) if fields.unnamed.len() != 1 => refuse(format!(
            "params are a JSON object, and a tuple is a list: give the fields of `{params}` names"
        )),
        Fields::Named(_) | Fields::Unnamed(_) => Ok(()),
    }
}

fn must_be_one_type(generics: &Generics) -> Result<()> {
    let Some(first) = generics.params.first() else {
        return Ok(());
    };
    let text = match first {
        syn::GenericParam::Lifetime(_) => {
            "params own their data: use `String` in place of `&str`, and no lifetime"
        }
        _ => "an entrypoint has no generics, because its name stands for one type",
    };
    Err(Error::new_spanned(generics, text))
}
