/// The window in which a page is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct View {
    /// The width, in pixels.
    pub width: u32,
    /// The height, in pixels.
    pub height: u32,
    /// The colours that the reader prefers.
    pub theme: Theme,
    /// Whether it is that of a phone, which is touched.
    pub is_phone: bool,
}

/// The colours that a reader prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are two")]
pub enum Theme {
    /// Dark text on a light ground.
    Light,
    /// Light text on a dark ground.
    Dark,
}

impl View {
    /// A window of 1280 by 900 pixels.
    #[must_use]
    pub const fn desk(theme: Theme) -> Self {
        Self {
            width: 1280,
            height: 900,
            theme,
            is_phone: false,
        }
    }

    /// A phone of 390 by 844 pixels.
    #[must_use]
    pub const fn phone(theme: Theme) -> Self {
        Self {
            width: 390,
            height: 844,
            theme,
            is_phone: true,
        }
    }

    /// Lists both windows in both themes.
    #[must_use]
    pub const fn all() -> [Self; 4] {
        [
            Self::desk(Theme::Light),
            Self::desk(Theme::Dark),
            Self::phone(Theme::Light),
            Self::phone(Theme::Dark),
        ]
    }

    /// Returns a name for files, such as `1280-dark`.
    #[must_use]
    pub fn name(&self) -> String {
        let theme = match self.theme {
            Theme::Light => "light",
            Theme::Dark => "dark",
        };
        format!("{}-{theme}", self.width)
    }
}
