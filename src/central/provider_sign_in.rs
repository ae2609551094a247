//! Which account a person gets who comes from an OpenID provider.
//!
//! An identity that is connected to an account signs in as that account. Any other identity joins an account by its
//! address only if both sides have proven it: the provider answers for the address, and the account has verified it.
//! Otherwise an attacker could register a stranger's address, here or there, and would share the stranger's account.

use std::sync::Arc;

use serde_json::json;

use super::accounts::{self, Account};
use super::central_audit_log::CentralAuditEvent;
use super::email_verification;
use super::invitations::{self, UserInvite};
use super::linked_identities;
use crate::api::{BlockingCtx, Error, RateLimit, Result};
use crate::auth::Purpose;
use crate::config::{Config, Registration};
use crate::openid::{Provider, ProviderIdentity};
use crate::values::Name;

/// The account of a person, who may be new.
pub struct SignedInPerson {
    pub account: Account,
    /// The invitation that the person accepted.
    pub joined: Option<UserInvite>,
}

/// Finds or creates the account of an identity. With the code of an invitation, it also joins the workspace.
pub fn sign_in(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    provider: &Provider,
    identity: &ProviderIdentity,
    invitation: Option<&str>,
) -> Result<SignedInPerson> {
    let found = find_or_create(ctx, rate_limit, provider, identity, invitation);
    if let Err(error) = &found {
        let event = CentralAuditEvent::new("login.failed");
        let event = match &identity.email {
            Some(email) => event.of_address(email),
            None => event,
        };
        let event = event.with(json!({"reason": error.code(), "provider": provider.id}));
        ctx.instance.central.record_or_log(ctx.request.origin(), event);
    }
    found
}

fn find_or_create(
    ctx: &BlockingCtx<'_>,
    rate_limit: &RateLimit,
    provider: &Provider,
    identity: &ProviderIdentity,
    invitation: Option<&str>,
) -> Result<SignedInPerson> {
    if !provider.allows(identity) {
        return Err(Error::forbidden(
            "address_not_allowed",
            format!("{} does not let this address sign in here.", provider.name),
        ));
    }
    let invite = invitation.map(|code| open_invitation(ctx, code)).transpose()?;
    let account = match known_account(ctx, provider, identity)? {
        Some(account) => account,
        None => {
            let tries = rate_limit.for_address(Purpose::Account);
            tries.check()?;
            tries.count();
            create(ctx, provider, identity, invite.as_ref())?
        }
    };
    let joined = invite.map(|invite| join(ctx, &account, &invite)).transpose()?;
    Ok(SignedInPerson { account, joined })
}

/// Connects an identity to the account that is signed in.
pub fn connect(ctx: &BlockingCtx<'_>, account_id: i64, provider: &Provider, identity: ProviderIdentity) -> Result<()> {
    let (provider, origin) = (provider.clone(), ctx.request.origin().by(account_id));
    ctx.instance.central.write(move |db| linked_identities::connect(db, account_id, &provider, &identity, &origin))
}

/// The account that the identity is connected to, or that has verified the address for which the provider answers.
fn known_account(ctx: &BlockingCtx<'_>, provider: &Provider, identity: &ProviderIdentity) -> Result<Option<Account>> {
    let (provider, identity, origin) = (provider.clone(), identity.clone(), ctx.request.origin());
    ctx.instance.central.write(move |db| {
        if let Some(id) = linked_identities::account_of(db, &provider.issuer, &identity.subject)? {
            linked_identities::record_use(db, &provider, &identity, origin.at)?;
            return accounts::find(db, id).map(Some);
        }
        let Some(address) = identity.email.as_ref().filter(|_| identity.has_proven_email) else { return Ok(None) };
        let Some((account, _)) = accounts::find_by_email(db, address)? else { return Ok(None) };
        if !account.email_verified {
            return Err(unconnected(&provider, address));
        }
        linked_identities::connect(db, account.id, &provider, &identity, &origin.clone().by(account.id))?;
        linked_identities::record_use(db, &provider, &identity, origin.at)?;
        Ok(Some(account))
    })
}

/// The account of the address is not known to be the person's.
fn unconnected(provider: &Provider, address: &str) -> Error {
    let name = &provider.name;
    let hint = format!("Sign in to it with its password, and connect {name} on its account page.");
    Error::rejected("identity_unconnected", format!("An account with the address {address} exists. {hint}"))
}

/// Creates an account without a password. Its address is proven by the provider, or by the code of an invitation.
fn create(
    ctx: &BlockingCtx<'_>,
    provider: &Provider,
    identity: &ProviderIdentity,
    invite: Option<&UserInvite>,
) -> Result<Account> {
    let address = match (invite, &identity.email) {
        (Some(invite), _) => invite.email.clone(),
        (None, Some(address)) if identity.has_proven_email => address.clone(),
        (None, _) => {
            return Err(Error::rejected(
                "address_unproven",
                format!(
                    "{} does not answer for an email address of yours. Create an account with a password, and connect {} \
                     on its account page.",
                    provider.name, provider.name
                ),
            ));
        }
    };
    let hash = ctx.instance.passwords.hash_of_none()?;
    let (is_invited, instance, origin) = (invite.is_some(), Arc::clone(ctx.instance), ctx.request.origin());
    let (provider, identity) = (provider.clone(), identity.clone());
    ctx.instance.central.write(move |db| {
        if accounts::find_by_email(db, &address)?.is_some() {
            return Err(unconnected(&provider, &address));
        }
        let is_invited = is_invited || invitations::is_pending_for(db, &address, origin.at)?;
        check_registration(&instance.config, is_invited)?;
        let told = identity.name.as_deref().and_then(|name| Name::<255>::parse(name.chars().take(255).collect()).ok());
        let name = told.unwrap_or_else(|| {
            Name::parse(address.split('@').next().unwrap_or_default().to_owned()).unwrap_or_default()
        });
        let is_first = !accounts::any_exists(db)?;
        let id = accounts::insert(db, &name, &address, &hash, is_first, &origin)?;
        accounts::set_verified(db, id)?;
        linked_identities::connect(db, id, &provider, &identity, &origin.clone().by(id))?;
        linked_identities::record_use(db, &provider, &identity, origin.at)?;
        accounts::find(db, id)
    })
}

/// A first sign-in needs an invitation, unless everybody may register.
fn check_registration(config: &Config, is_invited: bool) -> Result<()> {
    if is_invited || config.registration == Registration::Open {
        return Ok(());
    }
    Err(Error::forbidden(
        "registration_closed",
        "You have no account here yet, and a new one needs an invitation. Ask an administrator to invite you.",
    ))
}

fn open_invitation(ctx: &BlockingCtx<'_>, code: &str) -> Result<UserInvite> {
    let found = ctx.instance.central.invitation_by_code(code)?.ok_or_else(Error::not_found)?;
    found.invite.check_open(ctx.now)?;
    invitations::check_workspace(ctx.instance, found.invite.workspace.id)?;
    Ok(found.invite)
}

/// Adds the account to the workspace of the invitation. The mailed code verifies the address of the account.
fn join(ctx: &BlockingCtx<'_>, account: &Account, invite: &UserInvite) -> Result<UserInvite> {
    let (owner, address, origin) = (account.clone(), invite.email.clone(), ctx.request.origin().by(account.id));
    let is_own =
        ctx.instance.central.write(move |db| email_verification::confirm_if_own(db, &owner, &address, &origin))?;
    if !is_own {
        return Err(Error::rejected(
            "invite_for_another",
            format!("The invitation is for {}, and you signed in as {}.", invite.email, account.email),
        ));
    }
    invitations::join(ctx, account, invite)
}
