//! The texts of pages in each language. Each row has all languages, so the compiler rejects a missing translation or
//! value.

use std::borrow::Cow;

use super::problem_rules;
use crate::api::{Error, MAX_FILE, Request};
use crate::values::Language;

/// The texts of pages in one language.
#[derive(Debug, Clone, Copy)]
pub struct Translations(pub Language);

/// Adds texts to [`Translations`]: `name(values): "in English", "in French";`
macro_rules! words {
    ($($(#[$about:meta])* $name:ident($($value:ident),*): $english:literal, $french:literal;)*) => {
        impl Translations {
            $($(#[$about])* pub fn $name(self, $($value: &str),*) -> String {
                match self.0 {
                    Language::English => format!($english),
                    Language::French => format!($french),
                }
            })*
        }
    };
}
pub(super) use words;

words! {
    email(): "Email", "Adresse e-mail";
    password(): "Password", "Mot de passe";
    password_rule():
        "At least 8 characters, and not one that is easy to guess.",
        "Au moins 8 caractères, et pas facile à deviner.";

    sign_in_to(workspace): "Sign in to {workspace}", "Se connecter à {workspace}";
    sign_in(): "Sign in", "Se connecter";
    continue_with(provider): "Continue with {provider}", "Continuer avec {provider}";
    or_with_password(): "Or with email and password", "Ou avec e-mail et mot de passe";
    single_sign_on(): "Single sign-on", "Authentification unique";
    signed_out(): "You are signed out", "Vous êtes déconnecté";
    still_signed_in_at(provider):
        "You are still signed in at {provider}. On a shared computer, sign out there too.",
        "Vous êtes encore connecté chez {provider}. Sur un ordinateur partagé, déconnectez-vous aussi là-bas.";
    sign_out_of(provider): "Sign out of {provider}", "Se déconnecter de {provider}";
    single_sign_on_required():
        "This workspace requires single sign-on. Sign out, and sign in with your provider.",
        "Cet espace de travail exige l’authentification unique\u{a0}: déconnectez-vous, puis connectez-vous avec votre fournisseur.";
    provider_begun_elsewhere():
        "This sign-in has expired, or was begun in another browser. Start again.",
        "Cette connexion a expiré, ou a été commencée dans un autre navigateur. Recommencez.";
    provider_cancelled(provider):
        "You were not signed in with {provider}.",
        "Vous n’avez pas été connecté avec {provider}.";
    provider_rejected(provider, code):
        "{provider} did not sign you in ({code}). Ask an administrator if this happens again.",
        "{provider} ne vous a pas connecté ({code}). Prévenez un administrateur si cela se répète.";
    provider_unreachable(provider):
        "{provider} does not respond. Try again in a moment.",
        "{provider} ne répond pas. Réessayez dans un instant.";
    provider_unusable(provider):
        "Single sign-on with {provider} is not set up correctly. The log of the server says why.",
        "L’authentification avec {provider} est mal configurée. Le journal du serveur en donne la raison.";
    provider_invalid(provider):
        "The response of {provider} is not valid. Start again.",
        "La réponse de {provider} n’est pas valable. Recommencez.";

    code(): "Code", "Code";
    code_rule():
        "From your authenticator app, or one of your recovery codes.",
        "De votre application d’authentification, ou un de vos codes de secours.";
    go_on(): "Continue", "Continuer";
    second_factor(): "Second factor", "Second facteur";
    second_factor_required():
        "This workspace requires a second factor. Add one to your account first.",
        "Cet espace de travail exige un second facteur sur votre compte\u{a0}: ajoutez-en un d’abord.";
    second_factor_about():
        "With a second factor, login requires your password and a code from an app on your phone.",
        "Avec un second facteur, la connexion demande votre mot de passe et un code d’une application sur votre téléphone.";
    add_second_factor(): "Add a second factor", "Ajouter un second facteur";
    scan_the_code():
        "Scan this with an authenticator app, or type the key into it. Then enter the code that the app shows.",
        "Scannez ceci avec une application d’authentification, ou tapez-y la clé. Puis entrez le code qu’elle affiche.";
    key(): "Key", "Clé";
    confirm_code(): "Confirm the code", "Confirmer le code";
    second_factor_is_on(): "The second factor is on", "Le second facteur est actif";
    keep_recovery_codes():
        "Keep these recovery codes in a safe place. Each allows one login without the app. They are not shown again.",
        "Conservez ces codes de secours en lieu sûr. Chacun permet une connexion sans l’application. Ils ne seront plus affichés.";
    recovery_codes_left(count): "Recovery codes left: {count}.", "Codes de secours restants\u{a0}: {count}.";
    new_recovery_codes(): "Create new recovery codes", "Créer de nouveaux codes de secours";
    remove_second_factor(): "Remove the second factor", "Retirer le second facteur";

    confirm_your_email(): "Confirm your email address", "Confirmez votre adresse e-mail";
    confirm_email_about(email, login):
        "Enter the password of the account {login} to confirm that {email} is yours.",
        "Entrez le mot de passe du compte {login} pour confirmer que {email} est à vous.";
    confirm_the_address(): "Confirm the address", "Confirmer l’adresse";
    address_confirmed(): "The address is confirmed", "L’adresse est confirmée";
    log_in_as(email): "You log in as {email} from now on.", "Connectez-vous désormais en tant que {email}.";
    link_is_over(): "This link no longer works", "Ce lien ne fonctionne plus";
    link_was_used():
        "It was used, has expired, or is incomplete. Ask for a new one.",
        "Il a déjà servi, est trop ancien ou incomplet. Demandez-en un autre.";
    undo_the_change(): "Undo the change of address", "Annuler le changement d’adresse";
    undo_about(email):
        "Your account goes back to {email}, and all of its sessions end.",
        "Votre compte revient à {email}, et toutes ses sessions prennent fin.";
    change_undone(): "The change is undone", "Le changement est annulé";
    choose_password_next(email):
        "Your account has the address {email} again. Now choose a new password, so that the person who changed it cannot log in again.",
        "Votre compte a de nouveau l’adresse {email}. Choisissez maintenant un nouveau mot de passe, pour que celui qui l’a changée n’y revienne pas.";

    asks_for_access(client): "{client} asks for access", "{client} demande un accès";
    asks_for_access_to(client, workspace):
        "{client} asks for access to {workspace}",
        "{client} demande un accès à {workspace}";
    what_approving_means(email, client):
        "You are signed in as {email}. If you approve, {client} may, in your name:",
        "Vous êtes connecté en tant que {email}. Si vous acceptez, {client} pourra, en votre nom\u{a0}:";
    /// The user can grant none of the requested rights.
    approving_means_nothing(email, client):
        "You are signed in as {email}. You have none of the rights that {client} asks for. If you approve, it only learns that you approved.",
        "Vous êtes connecté en tant que {email}, et n’avez aucun des droits que {client} demande\u{a0}: si vous acceptez, l’application saura seulement que vous avez accepté.";
    for_one_customer(customer): "This applies only to the customer {customer}.", "Cela ne vaut que pour le client {customer}.";
    sent_to(destination): "You are then sent to {destination}.", "Vous serez ensuite envoyé vers {destination}.";
    approve(): "Approve", "Accepter";
    deny(): "Deny", "Refuser";
    sign_in_as_somebody_else(): "Sign in as somebody else", "Se connecter avec un autre compte";
    not_to_be_approved(): "This cannot be approved", "Impossible d’accepter cette demande";
    unknown_program():
        "The program that sent you is unknown here or is disabled.",
        "L’application qui vous envoie est inconnue ici, ou désactivée.";
    unknown_destination():
        "The program asks to send you to an address that it has not registered.",
        "L’application veut vous envoyer vers une adresse qu’elle n’a pas enregistrée.";
    not_decided():
        "The form contains neither approve nor deny.",
        "Le formulaire ne dit ni accepter ni refuser.";

    record_is_gone(): "There is no such record", "Cette fiche n’existe pas";
    gone_or_hidden():
        "It was deleted, or the link is wrong.",
        "Elle a été supprimée, ou le lien est faux.";
    permission_missing(): "You may not see this page", "Vous n’avez pas accès à cette page";
    permission_needed(permission):
        "You need the permission “{permission}”. Ask an administrator of the workspace.",
        "Il vous faut le droit «\u{a0}{permission}\u{a0}». Demandez-le à un administrateur de l’espace de travail.";
    not_now(): "Not now", "Pas maintenant";
    looks_at_every_row():
        "This search looks at every row. Narrow it, for example by a date.",
        "Cette recherche parcourt toutes les lignes. Affinez-la, par exemple par une date.";
    try_again(): "Try again", "Réessayer";
    to_the_start(): "To the start page", "Aller à l’accueil";

    no_such_page(): "There is no such page", "Cette page n’existe pas";
    check_the_link(): "The link is wrong or incomplete.", "Le lien est faux ou incomplet.";
    cannot_be_shown(): "This page cannot be shown", "Impossible d’afficher cette page";

    join(workspace): "Join {workspace}", "Rejoindre {workspace}";
    invites_you(inviter, workspace, role):
        "{inviter} invites you to work in {workspace} as {role}.",
        "{inviter} vous invite à travailler dans {workspace} avec le rôle {role}.";
    your_password(): "Your password", "Votre mot de passe";
    log_in_and_join(): "Log in and join", "Se connecter et rejoindre";
    your_name(): "Your name", "Votre nom";
    choose_a_password(): "Choose a password", "Choisissez un mot de passe";
    create_and_join(): "Create an account and join", "Créer un compte et rejoindre";
    invitation_closed(): "This invitation is closed", "Cette invitation est close";
    no_such_invitation(): "There is no such invitation", "Cette invitation n’existe pas";
    which_link_works():
        "The link is incomplete, or the invitation was resent. Use the link in the newest mail.",
        "Le lien est incomplet, ou l’invitation a été renvoyée depuis\u{a0}: le lien du dernier message est le bon.";
    welcome(): "Welcome", "Bienvenue";
    you_are_a_member(workspace, email):
        "You are now a member of {workspace}. Log in as {email}.",
        "Vous êtes membre de {workspace}, et vous connectez en tant que {email}.";

    choose_a_new_password(): "Choose a new password", "Choisissez un nouveau mot de passe";
    new_password(): "New password", "Nouveau mot de passe";
    logged_out_everywhere(): "You will be logged out everywhere.", "Vous serez déconnecté partout.";
    set_the_password(): "Set the password", "Enregistrer le mot de passe";
    password_is_set(): "The password is set", "Le mot de passe est enregistré";
    log_in_with_it(): "Log in with it from now on.", "Utilisez-le désormais pour vous connecter.";

    sign_in_with_central(host): "Sign in with your account at {host}", "Se connecter avec votre compte sur {host}";
    or_sign_in_here(): "Or sign in here with email and password", "Ou connectez-vous ici avec e-mail et mot de passe";
    forgot_your_password(): "Forgot your password?", "Mot de passe oublié\u{a0}?";
    sign_in_to_demo(name): "Sign in as {name} (demo)", "Se connecter en tant que {name} (démo)";
    sign_in_again():
        "It was used, has expired, or belongs to another browser. Sign in again.",
        "Il a déjà servi, a expiré ou appartient à un autre navigateur. Connectez-vous de nouveau.";
    cannot_enter(): "You cannot enter this workspace", "Vous ne pouvez pas entrer dans cet espace de travail";
    not_entered_about():
        "It does not exist, or your account is not a member of it. Ask its owner for an invitation.",
        "Il n’existe pas, ou votre compte n’en est pas membre. Demandez une invitation à son propriétaire.";
    your_workspaces(): "Your workspaces", "Vos espaces de travail";

    create_account(): "Create an account", "Créer un compte";
    create_account_on(host): "Create an account at {host}", "Créer un compte sur {host}";
    create_first_account(): "Make the first account", "Créer le premier compte";
    first_account_about():
        "This server has no account yet. The first account manages the whole server.",
        "Ce serveur n’a pas encore de compte. Le premier compte administre tout le serveur.";
    first_account_by_command(command):
        "This server has no account yet, and registration is not open. Create the first account on the server with the command {command}.",
        "Ce serveur n’a pas encore de compte, et l’inscription n’est pas ouverte. Créez le premier compte sur le serveur avec la commande {command}.";
    registration_by_invitation():
        "Registration here is by invitation only. Ask a member of a workspace to invite you. The link in the mail leads on.",
        "L’inscription se fait ici sur invitation. Demandez à un membre d’un espace de travail de vous inviter\u{a0}: le lien du message mène plus loin.";
    registration_closed():
        "Registration is closed here. An operator of the server can create an account for you.",
        "L’inscription est fermée ici. Un opérateur du serveur peut créer un compte pour vous.";
    first_workspace(): "Name of your first workspace (optional)", "Nom de votre premier espace de travail (facultatif)";
    first_workspace_about():
        "Your company or team. You can create a workspace later, or join one by invitation.",
        "Votre entreprise ou équipe. Vous pourrez créer un espace plus tard, ou en rejoindre un sur invitation.";
    have_an_account(): "I have an account", "J’ai déjà un compte";
    password_forgotten(): "Forgotten password", "Mot de passe oublié";
    password_forgotten_about():
        "Enter the address of your account. A mail with a link lets you choose a new password.",
        "Entrez l’adresse de votre compte. Un message avec un lien vous permet de choisir un nouveau mot de passe.";
    mail_me_a_link(): "Mail me a link", "M’envoyer un lien";
    back_to_sign_in(): "Back to sign-in", "Retour à la connexion";
    look_into_your_mail(): "Look into your mail", "Consultez votre messagerie";
    reset_was_mailed(email):
        "If {email} has an account here, a mail with a link is on its way. The link works for one hour.",
        "Si {email} a un compte ici, un message avec un lien est en route. Le lien est valable une heure.";

    session_ended_form_kept():
        "Your session has ended. Sign in again: what you typed is kept.",
        "Votre session est terminée. Reconnectez-vous\u{a0}: ce que vous avez saisi est conservé.";
    session_ended_form_too_long():
        "Your session has ended, and your text is too long to be kept. Go back in the browser, copy it, then sign in.",
        "Votre session est terminée, et votre texte est trop long pour être conservé. Revenez en arrière dans le navigateur, copiez-le, puis connectez-vous.";
}

impl Translations {
    /// The texts in the language that the caller prefers.
    pub fn of(request: &Request) -> Self {
        Self(request.language())
    }

    pub fn tag(self) -> &'static str {
        self.0.tag()
    }

    /// The errors that a visitor can correct, one sentence each.
    pub fn problems(self, error: &Error) -> Vec<String> {
        match self.0 {
            Language::English => error.messages(),
            Language::French => self.labelled_problems(error, &|words| in_a_sentence(words, self)),
        }
    }

    /// The same sentences, with the label of each field. `label` gives the label by the words that name a field.
    pub fn labelled_problems(self, error: &Error, label: &dyn Fn(&str) -> Option<String>) -> Vec<String> {
        let label = |words: &str| label(words).or_else(|| common_label(words, self));
        let stated = |sentence: &String| problem_rules::stated(self, sentence, &label);
        let sentences = match error {
            Error::Rejected { hint, .. } if !hint.is_empty() => hint.clone(),
            error => error.messages(),
        };
        let each: Vec<Option<String>> = sentences.iter().map(stated).collect();
        let stated: Option<Vec<String>> = each.iter().cloned().collect();
        match (stated, error, self.0) {
            // A sentence for people about an address that is taken says how to go on.
            (_, Error::Rejected { code, .. }, Language::French) if code == "email_taken" => {
                vec![state_in_french(code).to_owned()]
            }
            (Some(stated), ..) => stated,
            (None, Error::Invalid(_) | Error::InvalidRows { .. }, Language::French) => {
                let unread = || "La demande n’est pas valable.".to_owned();
                each.into_iter().map(|stated| stated.unwrap_or_else(unread)).collect()
            }
            (None, _, Language::French) => vec![problem_in_french(error).into_owned()],
            (None, ..) => error.messages(),
        }
    }
}

/// The label of a field that some resource has.
pub fn common_label(words: &str, language: Translations) -> Option<String> {
    let all = || crate::central_resources().chain(crate::workspace::resources());
    let labelled = |words: &str| {
        let name = words.replace([' ', '.'], "_");
        all().find_map(|resource| resource.label_of(&name)).map(|label| language.label(label))
    };
    let is_number = |word: &&str| word.bytes().all(|byte| byte.is_ascii_digit());
    // `ids 3` is an item of a list, `items 0 name` a field of an item, `features call logging` a field of an object.
    let mut parts: Vec<&str> = words.split([' ', '_', '.']).collect();
    if let found @ Some(_) = labelled(words) {
        return found;
    }
    parts.retain(|word| !is_number(word));
    (0..parts.len()).find_map(|first| labelled(&parts[first..].join(" "))).or_else(|| labelled(parts.first()?))
}

/// The name of a field as a French sentence begins with it.
fn in_a_sentence(words: &str, language: Translations) -> Option<String> {
    let named = match words {
        "name" => "Le nom",
        "email" => "L’adresse e-mail",
        "password" => "Le mot de passe",
        "code" => "Le code",
        _ => return common_label(words, language),
    };
    Some(named.to_owned())
}

/// A message about an error that is no broken rule. Errors that pages do not produce get a general message.
fn problem_in_french(error: &Error) -> Cow<'static, str> {
    match error {
        Error::InvalidCredentials => "L’adresse e-mail ou le mot de passe est incorrect.".into(),
        Error::WrongCode => "Le code est incorrect, ou a déjà servi.".into(),
        Error::WrongChallenge => "La connexion a expiré\u{a0}: recommencez.".into(),
        Error::SecondFactorRequired(_) => "La connexion demande un code.".into(),
        Error::TooManyRequests(wait) => format!("Trop de tentatives\u{a0}: réessayez dans {wait} secondes.").into(),
        Error::TooManyStreams(wait) => {
            format!("Trop de flux d’événements sont ouverts\u{a0}: fermez-en un, ou réessayez dans {wait} secondes.")
                .into()
        }
        Error::Forbidden { code, .. } | Error::NotFound { code, .. } => state_in_french(code).into(),
        Error::Rejected { code, .. } => state_in_french(code).into(),
        Error::MissingPermission(name) => format!("Il vous manque la permission {name}.").into(),
        Error::TooLarge(limit) if *limit >= MAX_FILE => {
            "Le fichier ne peut pas dépasser 32\u{a0}Mio ni 250\u{202f}000 lignes\u{a0}: envoyez-le en plusieurs fois."
                .into()
        }
        Error::UnsupportedMediaType(body) if body.has_rows() => {
            "Envoyez un fichier CSV ou JSON, de 32\u{a0}Mio et 250\u{202f}000 lignes au plus.".into()
        }
        Error::TooLarge(limit) => format!("La demande ne peut pas dépasser {limit} octets.").into(),
        Error::PreconditionFailed => "L’enregistrement a été modifié entre-temps\u{a0}: rechargez la page.".into(),
        Error::MalformedJson(_)
        | Error::BadRequest(_)
        | Error::Invalid(_)
        | Error::InvalidRows { .. }
        | Error::Token(_)
        | Error::MethodNotAllowed(_)
        | Error::BodyTimeout
        | Error::UnsupportedMediaType(_)
        | Error::UnsupportedEncoding
        | Error::NeedsTimeZone
        | Error::NeedsTexts(_)
        | Error::AlreadyExists => {
            "La demande n’a pas pu être lue\u{a0}: revenez en arrière et rechargez la page.".into()
        }
        Error::OutcomeUnknown => {
            "Le serveur n’a pas pu confirmer l’enregistrement\u{a0}: rechargez la page pour voir s’il est fait.".into()
        }
        Error::Overloaded
        | Error::TooSlow
        | Error::UnknownHosts(_)
        | Error::StorageFull(_)
        | Error::ReadOnly(_)
        | Error::Damaged(_)
        | Error::ServerDamaged(_)
        | Error::ShuttingDown
        | Error::Standby
        | Error::Elsewhere(_)
        | Error::NodeUnreachable
        | Error::UnknownNode
        | Error::NotReady(_)
        | Error::Internal(_) => "Le serveur n’a pas pu répondre\u{a0}: réessayez dans un instant.".into(),
    }
}

/// Checks that people can read an error of the API in French: each broken rule and each state has its own sentence. The
/// tests call it for every response that rejects a request.
#[cfg(test)]
#[track_caller]
pub fn check_has_french_form(status: u16, body: &serde_json::Value) {
    let french = |sentence: &str| {
        let label = |words: &str| common_label(words, Translations(Language::French));
        problem_rules::stated(Translations(Language::French), sentence, &label)
    };
    for sentence in body["hint"].as_array().into_iter().flatten().filter_map(serde_json::Value::as_str) {
        assert!(french(sentence).is_some() || sentence == body["message"], "no French form: {sentence}");
    }
    let (code, message) = (body["error"].as_str(), body["message"].as_str());
    if let (Some(code), Some(message), 403 | 404 | 422) = (code, message, status) {
        assert!(french(message).is_some() || state_in_french(code) != ANY_STATE, "no French form: {code}: {message}");
    }
}

/// The message for a code without its own.
const ANY_STATE: &str = "Ce n’est pas possible dans l’état actuel.";

/// A message for the code of an error.
fn state_in_french(code: &str) -> &'static str {
    match code {
        "forbidden" => {
            "Ce formulaire ne vient pas d’ici, ou est trop ancien\u{a0}: revenez en arrière et rechargez la page."
        }
        "second_factor_required" => "Cet espace de travail exige un second facteur sur votre compte.",
        "second_factor_enabled" => "Votre compte a déjà un second facteur.",
        "no_second_factor" => "Votre compte n’a pas de second facteur.",
        "no_enrollment" => "L’ajout a expiré\u{a0}: recommencez.",
        "not_a_member" => "Vous n’êtes pas membre de cet espace de travail.",
        "registration_closed" => "La création de comptes est fermée ici.",
        "wrong_status" => "Ce n’est pas possible dans l’état actuel de la fiche\u{a0}: rechargez la page.",
        "workspace_suspended" => "Cet espace de travail est suspendu.",
        "unknown_host" | "route_not_found" | "not_found" => "Cette adresse n’existe pas.",
        "workspace_not_found" => "Cet espace de travail n’existe pas.",
        "email_taken" => "Cette adresse e-mail a déjà un compte\u{a0}: rechargez la page.",
        "import_begun" => "Une partie des enregistrements est déjà importée\u{a0}: continuez l’importation.",
        "import_done" => "Cette importation est terminée.",
        "import_expired" => "Le fichier de cette importation n’est plus là\u{a0}: envoyez-le de nouveau.",
        "import_not_checked" => "Lancez d’abord l’essai.",
        "backup_running" => "Une sauvegarde est en cours de création ou de vérification\u{a0}: attendez la fin.",
        "backups_unreadable" => {
            "Les sauvegardes sont illisibles\u{a0}: `cx-engine backups` sur le serveur en donne la raison."
        }
        "check_running" => "L’instance est en cours de vérification\u{a0}: attendez la fin.",
        "not_fixable" => "Le serveur ne peut pas réparer cela pendant qu’il tourne.",
        "findings_unreadable" => "Le résultat de la dernière vérification est illisible\u{a0}: lancez-en une nouvelle.",
        "import_running" => "L’importation est en cours\u{a0}: attendez qu’elle soit terminée.",
        "records_refused" => "Des enregistrements ont été refusés\u{a0}: corrigez-les, ou laissez-les de côté.",
        "too_many_imports" => "Trop d’imports sont gardés\u{a0}: supprimez-en un.",
        "invite_expired" => "L’invitation a expiré\u{a0}: demandez-en une autre.",
        "invite_cancelled" => "L’invitation a été retirée.",
        "invite_accepted" => "L’invitation a déjà été acceptée.",
        "invite_declined" => "L’invitation a été refusée.",
        "already_member" => "Cette adresse e-mail est déjà celle d’un membre de l’espace de travail.",
        "already_invited" => "Cette adresse est déjà invitée\u{a0}: renvoyez l’invitation.",
        "account_disabled" => "Ce compte est désactivé\u{a0}: adressez-vous à un opérateur du serveur.",
        "host_not_allowed" => "Ce jeton ne peut pas servir depuis votre adresse.",
        "key_not_for_addresses" => {
            "Une clé placée dans une adresse peut avoir la permission crm.caller-name et aucune autre."
        }
        "client_is_public" => "Un client public n’a pas de secret.",
        "customer_has_contacts" => "Ce client a des contacts\u{a0}: supprimez-les d’abord.",
        "customer_has_routing" => "Ce client a un routage d’appels\u{a0}: supprimez-le d’abord.",
        "customer_not_found" => "Aucun client n’a ce compte.",
        "no_route" => "Aucune destination ne correspond.",
        "call_logging_off" => "L’enregistrement des appels est désactivé dans les paramètres.",
        "email_verified" => "L’adresse de ce compte est déjà vérifiée.",
        "idempotency_key_in_use" => "Ce formulaire est en cours d’enregistrement\u{a0}: réessayez dans un instant.",
        "idempotency_key_reused" => "Ce formulaire a déjà été envoyé avec d’autres valeurs.",
        "address_not_allowed" => "Votre fournisseur ne permet pas à cette adresse de se connecter ici.",
        "address_unproven" => {
            "Votre fournisseur ne garantit aucune adresse e-mail à vous. Créez un compte avec un mot de passe, puis connectez le fournisseur sur la page du compte."
        }
        "identity_provider_not_allowed" => {
            "Un opérateur du serveur doit d’abord indiquer les domaines des adresses de l’espace de travail."
        }
        "identity_taken" => "Un autre compte utilise déjà cette identité.",
        "identity_unconnected" => {
            "Un compte a déjà cette adresse. Connectez-vous avec son mot de passe, puis connectez le fournisseur sur la page du compte."
        }
        "invite_for_another" => "L’invitation est pour une autre adresse que celle de votre compte.",
        "single_sign_on_required" => "L’authentification unique est exigée\u{a0}: un mot de passe ne suffit pas.",
        "single_sign_on_unused" => {
            "Connectez-vous d’abord par l’authentification unique, sinon ce paramètre vous exclurait."
        }
        "is_owner" => "Le propriétaire ne peut pas quitter l’espace de travail\u{a0}: transmettez-le d’abord.",
        "last_admin" => "L’espace de travail doit garder au moins un administrateur.",
        "last_operator" => "C’est le seul opérateur actif.",
        "last_organisation" => "L’espace de travail doit garder au moins une organisation.",
        "owns_workspaces" => "Vous possédez un espace de travail\u{a0}: transmettez-le ou supprimez-le d’abord.",
        "too_many_groups" => "La période est trop longue.",
        "quota_reached" => "Le quota est atteint.",
        "role_in_use" => "Ce rôle est utilisé.",
        "role_is_built_in" => "Un rôle intégré ne peut pas être modifié.",
        "unknown_ids" => "Certains de ces enregistrements n’existent plus.",
        "webhook_inactive" => "Le webhook est désactivé\u{a0}: activez-le d’abord.",
        "zones_of_another_model" => "Des destinations de cette liste ont des zones que l’autre modèle n’a pas.",
        code if code.ends_with("_taken") => "Cette valeur existe déjà.",
        _ => ANY_STATE,
    }
}

#[cfg(test)]
mod tests {
    use http::header;

    use crate::tests::{PASSWORD, TestClient, TestResponse, TestServer};

    fn invitation(server: &TestServer, email: &str) -> String {
        format!("/ui/invitations/{}", server.invited(email).1)
    }

    fn in_french<'b>(client: TestClient<'b>) -> TestClient<'b> {
        client.with_header("accept-language", "de, fr-CH;q=0.8, en;q=0.5")
    }

    /// Checks that a page is entirely French.
    #[track_caller]
    fn is_french(page: &TestResponse, said: &str) {
        assert!(page.text.contains("<html lang=\"fr\">") && page.text.contains(said), "{page:?}");
        assert_eq!(page.headers[header::CONTENT_LANGUAGE], "fr");
        assert_eq!(page.headers[header::VARY], "Accept-Language, Cookie");
        for english in ["The ", " the ", " is ", "assword<", "Choose", "Sign", "Log in"] {
            assert!(!page.text.contains(english), "{english:?} in {}", page.text);
        }
    }

    #[test]
    fn each_page_is_in_the_language_that_its_visitor_likes_best() {
        let server = TestServer::new();
        server.stranger();
        for (host, path, english, french) in [
            ("acme.localhost", "/ui/sign-in".to_owned(), "Sign in to acme", "Se connecter à acme"),
            ("localhost", "/ui/password-reset".into(), "Set the password", "Enregistrer le mot de passe"),
            (
                "localhost",
                invitation(&server, "grace@example.com"),
                "Create an account",
                "Créer un compte et rejoindre",
            ),
            ("localhost", invitation(&server, "stranger@example.com"), "Log in and join", "Se connecter et rejoindre"),
            ("localhost", "/ui/invitations/none".into(), "no such invitation", "Cette invitation n’existe pas"),
            ("acme.localhost", "/oauth/authorize".into(), "unknown here", "est inconnue ici"),
        ] {
            let visitor = server.anonymous().at(host);
            let page = visitor.with_header("accept-language", "en-GB, fr;q=0.9").get(&path);
            assert!(page.text.contains("<html lang=\"en\">") && page.text.contains(english), "{page:?}");
            assert_eq!(page.headers[header::CONTENT_LANGUAGE], "en");
            assert_eq!(page.headers[header::VARY], "Accept-Language, Cookie");
            is_french(&in_french(visitor).get(&path), french);
        }
    }

    #[test]
    fn whatever_a_visitor_does_wrong_is_said_in_their_language() {
        let server = TestServer::new();
        server.stranger();
        let long = "x".repeat(300);
        let (new, known) = (invitation(&server, "grace@example.com"), invitation(&server, "stranger@example.com"));
        let reset = "/ui/password-reset";
        for (path, form, english, french) in [
            (&*new, vec![("password", PASSWORD)], "The name field is required.", "Le nom est obligatoire."),
            (
                &new,
                vec![("name", "G"), ("password", "short")],
                "at least 8 characters",
                "doit avoir au moins 8 caractères.",
            ),
            (&new, vec![("name", "G"), ("password", "password")], "is too common", "Le mot de passe est trop courant"),
            (
                &new,
                vec![("name", &long), ("password", "x")],
                "greater than 255",
                "ne peut pas dépasser 255 caractères.",
            ),
            (&new, vec![("name", "\0"), ("password", "x")], "null character", "Le nom n’est pas valable."),
            (&new, vec![("name", "G"), ("name", "H")], "is repeated", "Le nom n’est pas valable."),
            (&known, vec![("password", "wrong")], "or the password is wrong", "le mot de passe est incorrect."),
            (reset, vec![("email", "nobody"), ("code", "x")], "valid email", "n’est pas une adresse e-mail."),
            (
                reset,
                vec![("email", "a@b.c"), ("code", "x"), ("password", PASSWORD)],
                "selected code",
                "Le code n’est pas",
            ),
        ] {
            let visitor = server.anonymous();
            let said = visitor.submit(path, &form);
            assert!(said.status.is_client_error() && said.text.contains(english), "{said:?}");
            is_french(&in_french(visitor).submit(path, &form), french);
        }
        let stale = server.anonymous().at("acme.localhost");
        is_french(&in_french(stale).submit("/ui/sign-in", &[("email", "a@b.c")]), "Ce formulaire ne vient pas");
    }

    #[test]
    fn what_stands_in_the_way_is_said_in_their_language() {
        let server = TestServer::with(&[("throttle_attempts", "1"), ("registration", "closed")]);
        server.stranger();
        let path = invitation(&server, "stranger@example.com");
        let visitor = in_french(server.anonymous());
        let closed = visitor.submit(&invitation(&server, "new@example.com"), &[("name", "N"), ("password", PASSWORD)]);
        is_french(&closed, "La création de comptes est fermée ici.");
        assert_eq!(visitor.submit(&path, &[("password", "wrong")]).status, 401);
        is_french(&visitor.submit(&path, &[("password", "wrong")]), "Trop de tentatives");
        for (status, said) in [
            ("cancelled", "a été retirée"),
            ("accepted", "déjà été acceptée"),
            ("declined", "a été refusée"),
            ("expired", "a expiré"),
        ] {
            let sql = format!("UPDATE user_invites SET status = '{status}'");
            server.instance.central.write(move |db| Ok::<_, crate::api::Error>(db.execute(&sql, [])?)).unwrap();
            is_french(&visitor.get(&path), said);
        }
    }
}
