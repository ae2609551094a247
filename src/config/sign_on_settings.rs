//! The settings of single sign-on, for the table.

use super::setting_table::{Setting, SettingKind};

pub const SINGLE_SIGN_ON: Setting = Setting::main("single_sign_on", "", SettingKind::Text, |config, text| {
    config.single_sign_on = (!text.is_empty()).then(|| text.into());
    Some(())
})
.about("File with the providers of single sign-on (OpenID Connect), a table for each; empty means none")
.allowed("the path of a TOML file");

pub const REQUIRE_SINGLE_SIGN_ON: Setting = Setting::main(
    "require_single_sign_on",
    "false",
    SettingKind::Flag,
    |config, text| text.parse().ok().map(|required| config.require_single_sign_on = required),
)
.about(
    "Whether people sign in with a provider only, and with no password. Tokens and keys of programs are not affected",
)
.allowed("true or false, with single_sign_on");
