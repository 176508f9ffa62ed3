use std::sync::Arc;

use crate::json::decode_error::DecodeError;
use crate::json::text::unescape;

/// A whole number. One that does not fit is written on as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Retcode {
    value: i64,
    text: Option<Arc<str>>,
}

impl From<i64> for Retcode {
    fn from(value: i64) -> Self {
        Self { value, text: None }
    }
}

impl Retcode {
    /// Returns the number, or the nearest that fits.
    pub(crate) const fn value(&self) -> i64 {
        self.value
    }

    /// Writes it as it came.
    pub(crate) fn write(&self, out: &mut String) {
        match &self.text {
            Some(text) => out.push_str(text),
            None if self.value == 0 => out.push('0'),
            None => out.push_str(&self.value.to_string()),
        }
    }

    /// Reads it in any spelling of JSON, or as decimal text.
    pub(crate) fn read(value: &str, at: usize) -> Result<Self, DecodeError> {
        if let Ok(value) = value.parse() {
            return Ok(Self { value, text: None });
        }
        let number = match value.starts_with('"') {
            true => unescape(value).0.trim().to_owned(),
            false => value.to_owned(),
        };
        let written_as_text = value.starts_with('"');
        whole(&number, written_as_text)
            .ok_or_else(|| DecodeError::new(at, "result.retcode: not a valid integer"))
    }
}

/// Reads a whole number in any spelling of JSON, or decimal digits where it was written as text.
fn whole(text: &str, only_digits: bool) -> Option<Retcode> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (
            false,
            text.strip_prefix('+')
                .filter(|_| only_digits)
                .unwrap_or(text),
        ),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain && only_digits {
        return None;
    }
    let digits = match plain {
        true => digits.to_owned(),
        false => shifted(digits)?,
    };
    let sign = if negative { "-" } else { "" };
    let digits = match digits.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    let text = format!("{sign}{digits}");
    Some(match text.parse::<i64>() {
        Ok(value) => Retcode::from(value),
        Err(_) => Retcode {
            value: if negative { i64::MIN } else { i64::MAX },
            text: Some(text.into()),
        },
    })
}

/// How far an exponent may move the point of a return code.
const LONGEST_SHIFT: i64 = 300;

/// Moves the point of `1.20e1` as its exponent says: `12`, or nothing if digits are left behind it.
fn shifted(number: &str) -> Option<String> {
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()?),
        None => (number, 0),
    };
    let (before, after) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all = format!("{before}{after}");
    if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    if exponent.abs() > LONGEST_SHIFT {
        return None;
    }
    let point = i64::try_from(before.len()).ok()? + exponent;
    let point = usize::try_from(point.max(0)).ok()?;
    let fraction = all.get(point..).unwrap_or_default();
    if exponent < 0
        && i64::try_from(before.len()).ok()? + exponent < 0
        && all.contains(|c| c != '0')
    {
        return None;
    }
    if fraction.contains(|digit| digit != '0') {
        return None;
    }
    let mut digits = all.get(..point).unwrap_or(&all).to_owned();
    while digits.len() < point {
        digits.push('0');
    }
    Some(match digits.is_empty() {
        true => "0".to_owned(),
        false => digits,
    })
}
