//! What people call the values of choices: outcomes of calls, states, days of the week, permissions, events.

use super::translations::Translations;
use crate::api::field::Label;
use crate::api::resource_view::label;
use crate::values::Language;
use crate::workspace::{self, permission_catalog};

/// The values that mean something else in this field than elsewhere.
const OF_FIELDS: &[(&str, &str, Label)] = &[
    ("mode", "create", label("Create a record for each row", "Créer un enregistrement par ligne")),
    ("mode", "upsert", label("Change records that exist", "Modifier les enregistrements existants")),
    ("matched_by", "name", label("By its name", "Par son nom")),
    ("matched_by", "label", label("By its label", "Par son libellé")),
    ("matched_by", "last_time", label("As last time", "Comme la dernière fois")),
    ("matched_by", "choice", label("By choice", "Par choix")),
    ("state", "uploaded", label("Columns not chosen yet", "Colonnes à choisir")),
    ("state", "checking", label("Trial is running", "Essai en cours")),
    ("state", "checked", label("Tried, not imported", "Essayé, non importé")),
    ("state", "running", label("Import is running", "Importation en cours")),
    ("state", "done", label("Imported", "Importé")),
    ("state", "failed", label("Failed", "Échoué")),
    ("state", "interrupted", label("Interrupted", "Interrompu")),
    ("state", "expired", label("Expired", "Expiré")),
    ("remedy", "fix", label("Fix it.", "Réparez-le.")),
    (
        "remedy",
        "stop_and_fix",
        label(
            "Stop the server, and run cx-engine doctor --fix.",
            "Arrêtez le serveur, puis lancez cx-engine doctor --fix.",
        ),
    ),
    ("remedy", "wait", label("The server fixes this by itself.", "Le serveur le répare de lui-même.")),
    ("remedy", "restore", label("Restore the file from a backup.", "Restaurez le fichier depuis une sauvegarde.")),
    (
        "remedy",
        "replace_certificate",
        label("Replace the certificate and its key.", "Remplacez le certificat et sa clé."),
    ),
    (
        "remedy",
        "check_store",
        label(
            "Check the object store: cx-engine cluster check.",
            "Vérifiez le stockage d’objets\u{a0}: cx-engine cluster check.",
        ),
    ),
    (
        "remedy",
        "check_authority",
        label(
            "Read why the authority refused. The server tries again by itself.",
            "Lisez pourquoi l’autorité a refusé. Le serveur réessaie de lui-même.",
        ),
    ),
    (
        "remedy",
        "back_up",
        label("Correct the reason, and take a backup.", "Corrigez la cause, puis prenez une sauvegarde."),
    ),
    ("work", "backup", label("Backup", "Sauvegarde")),
    ("work", "verification", label("Verification", "Vérification")),
    ("day_of_week", "0", label("Sunday", "Dimanche")),
    ("day_of_week", "1", label("Monday", "Lundi")),
    ("day_of_week", "2", label("Tuesday", "Mardi")),
    ("day_of_week", "3", label("Wednesday", "Mercredi")),
    ("day_of_week", "4", label("Thursday", "Jeudi")),
    ("day_of_week", "5", label("Friday", "Vendredi")),
    ("day_of_week", "6", label("Saturday", "Samedi")),
    ("pops", "none", label("No calls", "Aucun appel")),
    ("pops", "mine", label("My calls", "Mes appels")),
    ("pops", "all", label("All calls", "Tous les appels")),
    ("by", "hour", label("Hour", "Heure")),
    ("by", "day", label("Day", "Jour")),
    ("by", "agent", label("Agent", "Agent")),
    ("by", "queue", label("Queue", "File d’attente")),
    ("total", "exact", label("Exact", "Exact")),
    ("total", "estimate", label("Up to 10,000", "Jusqu’à 10\u{202f}000")),
    ("tried", "active", label("Active queue", "File active")),
    ("tried", "queue_exception", label("Exceptions of the queue", "Exceptions de la file")),
    ("tried", "group_exception", label("Exceptions of the group", "Exceptions du groupe")),
    ("tried", "queue_time_span", label("Hours of the queue", "Horaires de la file")),
    ("tried", "group_time_span", label("Hours of the group", "Horaires du groupe")),
    ("tried", "default", label("Default destination", "Destination par défaut")),
    ("tried", "id_code", label("Code", "Code")),
    ("tried", "telecom", label("Number", "Numéro")),
    ("tried", "email", label("Address", "Adresse")),
    ("tried", "exact", label("The whole origin", "L’origine entière")),
    ("tried", "prefix", label("The longest prefix", "Le plus long préfixe")),
    ("tried", "zone", label("Zone", "Zone")),
    ("tried", "destination", label("Destination of the zone", "Destination de la zone")),
    ("tried", "fallback", label("Fallbacks of the list", "Replis de la liste")),
    ("fields", "kept", label("Kept", "Conservée")),
    ("fields", "other", label("Other", "Autre")),
    ("fields", "both", label("Both", "Les deux")),
    ("reasons", "phone", label("Number", "Numéro")),
    ("reasons", "email", label("Address", "Adresse")),
    ("reasons", "name", label("Name", "Nom")),
    ("scope", "own", label("Yours", "Les vôtres")),
    ("scope", "all", label("All", "Tous")),
    ("scope", "central", label("Your account", "Votre compte")),
    ("scope", "workspace", label("A workspace", "Un espace de travail")),
    // Both together are the permission to look up callers.
    ("scopes", "client", label("CRM look-up, part 1", "Recherche CRM, partie 1")),
    ("scopes", "crm", label("CRM look-up, part 2", "Recherche CRM, partie 2")),
];

/// The values that mean the same in every field.
const OF_ANY_FIELD: &[(&str, Label)] = &[
    // Calls
    ("inbound", label("Inbound", "Entrant")),
    ("outbound", label("Outbound", "Sortant")),
    ("completed", label("Answered", "Répondu")),
    ("missed", label("Missed", "Manqué")),
    ("no_answer", label("No answer", "Sans réponse")),
    ("busy", label("Busy", "Occupé")),
    ("rejected", label("Rejected", "Rejeté")),
    ("Inbound", label("Inbound", "Entrant")),
    ("Outbound", label("Outbound", "Sortant")),
    ("Missed", label("Missed", "Manqué")),
    ("Notanswered", label("No answer", "Sans réponse")),
    // Destinations
    ("extension", label("Extension", "Poste")),
    ("queue", label("Queue", "File d’attente")),
    ("number", label("Number", "Numéro")),
    ("voicemail", label("Voicemail", "Messagerie vocale")),
    ("hangup", label("Hang up", "Raccrocher")),
    ("exception", label("Exception", "Exception")),
    ("time_span", label("Time span", "Plage horaire")),
    ("default", label("Default", "Par défaut")),
    ("inactive", label("Inactive", "Inactive")),
    ("call_queue", label("Queue", "File d’attente")),
    ("call_queue_group", label("Group", "Groupe")),
    ("exact", label("The whole value", "La valeur entière")),
    ("prefix", label("The first characters", "Les premiers caractères")),
    ("range", label("A range", "Un intervalle")),
    ("start", label("The start", "Le début")),
    ("end", label("The end", "La fin")),
    // Countries
    ("BE", label("Belgium", "Belgique")),
    ("CH", label("Switzerland", "Suisse")),
    ("DE", label("Germany", "Allemagne")),
    ("FR", label("France", "France")),
    ("LU", label("Luxembourg", "Luxembourg")),
    // States
    ("pending", label("Pending", "En attente")),
    ("delivered", label("Delivered", "Remis")),
    ("failed", label("Failed", "Échec")),
    ("file_missing", label("File missing", "Fichier manquant")),
    ("file_unusable", label("File cannot be used", "Fichier inutilisable")),
    ("file_damaged", label("File damaged", "Fichier endommagé")),
    ("content_wrong", label("Content wrong", "Contenu erroné")),
    ("count_wrong", label("Count wrong", "Nombre erroné")),
    ("creation_interrupted", label("Creation interrupted", "Création interrompue")),
    ("deletion_interrupted", label("Deletion interrupted", "Suppression interrompue")),
    ("indexes_outdated", label("Search indexes out of date", "Index de recherche périmés")),
    ("user_without_membership", label("User without access", "Utilisateur sans accès")),
    ("member_without_user", label("Member without a user", "Membre sans utilisateur")),
    ("file_without_workspace", label("File of no workspace", "Fichier sans espace de travail")),
    ("mail_failed", label("Mail not sent", "Mail non envoyé")),
    ("certificate_unreadable", label("Certificate cannot be read", "Certificat illisible")),
    ("certificate_ending", label("Certificate to renew", "Certificat à renouveler")),
    ("certificate_not_issued", label("Certificate not issued", "Certificat non délivré")),
    ("certificate_not_renewed", label("Certificate not renewed", "Certificat non renouvelé")),
    ("commits_not_stored", label("Not in the object store", "Absent du stockage d’objets")),
    ("backup_failed", label("Backup failed", "Sauvegarde échouée")),
    ("backup_missing", label("Backup missing", "Sauvegarde absente")),
    ("accepted", label("Accepted", "Acceptée")),
    ("declined", label("Declined", "Refusée")),
    ("cancelled", label("Withdrawn", "Retirée")),
    ("expired", label("Expired", "Expirée")),
    ("active", label("Active", "Actif")),
    ("suspended", label("Suspended", "Suspendu")),
    ("trashed", label("In the trash", "À la corbeille")),
    ("waiting", label("Waiting", "En attente")),
    ("retrying", label("Tried again soon", "Nouvel essai prévu")),
    // Actors and credentials
    ("account", label("Account", "Compte")),
    ("anonymous", label("Not signed in", "Non connecté")),
    ("system", label("The server", "Le serveur")),
    ("session", label("Session", "Session")),
    ("program", label("Program", "Programme")),
    ("authorization_code", label("A person approves", "Une personne accepte")),
    ("client_credentials", label("The program itself", "L’application elle-même")),
    // Built-in roles
    ("admin", label("Administrator", "Administrateur")),
    ("manager", label("Manager", "Responsable")),
    ("agent", label("Agent", "Agent")),
    // Files and queries
    ("create", label("Create all", "Tout créer")),
    ("upsert", label("Update known records", "Mettre à jour les fiches connues")),
    ("json", label("JSON", "JSON")),
    ("csv", label("CSV", "CSV")),
    ("3cx", label("3CX", "3CX")),
    ("yeastar", label("Yeastar P-Series", "Yeastar série P")),
    ("contacts_count", label("Number of contacts", "Nombre de contacts")),
    ("true", label("Yes", "Oui")),
    ("false", label("No", "Non")),
    // Events of the central audit log
    ("account.created", label("Account created", "Compte créé")),
    ("account.updated", label("Account changed", "Compte modifié")),
    ("account.deleted", label("Account deleted", "Compte supprimé")),
    ("email.change_requested", label("Change of address requested", "Changement d’adresse demandé")),
    ("email.changed", label("Address changed", "Adresse changée")),
    ("email.change_undone", label("Change of address undone", "Changement d’adresse annulé")),
    ("email.verified", label("Address confirmed", "Adresse confirmée")),
    ("password.changed", label("Password changed", "Mot de passe changé")),
    ("password.reset", label("Password reset", "Mot de passe réinitialisé")),
    ("login.succeeded", label("Login", "Connexion")),
    ("login.failed", label("Failed login", "Connexion refusée")),
    ("token.created", label("Token created", "Jeton créé")),
    ("token.revoked", label("Token revoked", "Jeton révoqué")),
    ("second_factor.enabled", label("Second factor added", "Second facteur ajouté")),
    ("second_factor.disabled", label("Second factor removed", "Second facteur retiré")),
    ("second_factor.reset", label("Second factor removed by an operator", "Second facteur retiré par un opérateur")),
    ("recovery_codes.created", label("New recovery codes", "Nouveaux codes de secours")),
    ("identity.connected", label("Identity provider connected", "Fournisseur d’identité connecté")),
    ("identity.disconnected", label("Identity provider removed", "Fournisseur d’identité retiré")),
    ("identity_domains.updated", label("Domains of a workspace changed", "Domaines d’un espace de travail modifiés")),
    ("identity_provider.updated", label("Identity provider changed", "Fournisseur d’identité modifié")),
    ("identity_provider.deleted", label("Identity provider deleted", "Fournisseur d’identité supprimé")),
    ("workspace.created", label("Workspace created", "Espace de travail créé")),
    ("workspace.updated", label("Workspace changed", "Espace de travail modifié")),
    ("workspace.suspended", label("Workspace suspended", "Espace de travail suspendu")),
    ("workspace.resumed", label("Workspace resumed", "Espace de travail rétabli")),
    ("workspace.transferred", label("Workspace handed over", "Espace de travail cédé")),
    ("workspace.exported", label("Workspace exported", "Espace de travail exporté")),
    ("workspace.imported", label("Workspace imported", "Espace de travail importé")),
    ("workspace.deleted", label("Workspace moved to the trash", "Espace de travail mis à la corbeille")),
    ("workspace.restored", label("Workspace restored", "Espace de travail restauré")),
    ("backup.created", label("Backup created", "Sauvegarde créée")),
    ("backup.copied", label("Backup copied", "Sauvegarde copiée")),
    ("backup.verified", label("Backup verified", "Sauvegarde vérifiée")),
    ("finding.fixed", label("Finding fixed", "Constat réparé")),
    ("backup.restored", label("Backup restored", "Sauvegarde restaurée")),
    ("keys.rotated", label("Encryption keys rotated", "Clés de chiffrement renouvelées")),
    ("webhook.test", label("Test", "Essai")),
    // Regions with holidays of their own (ISO 3166-2)
    ("CH-AG", label("Aargau", "Argovie")),
    ("CH-AI", label("Appenzell Innerrhoden", "Appenzell Rhodes-Intérieures")),
    ("CH-AR", label("Appenzell Ausserrhoden", "Appenzell Rhodes-Extérieures")),
    ("CH-BE", label("Bern", "Berne")),
    ("CH-BL", label("Basel-Landschaft", "Bâle-Campagne")),
    ("CH-BS", label("Basel-Stadt", "Bâle-Ville")),
    ("CH-FR", label("Fribourg", "Fribourg")),
    ("CH-GE", label("Geneva", "Genève")),
    ("CH-GL", label("Glarus", "Glaris")),
    ("CH-GR", label("Grisons", "Grisons")),
    ("CH-JU", label("Jura", "Jura")),
    ("CH-LU", label("Lucerne", "Lucerne")),
    ("CH-NE", label("Neuchâtel", "Neuchâtel")),
    ("CH-NW", label("Nidwalden", "Nidwald")),
    ("CH-OW", label("Obwalden", "Obwald")),
    ("CH-SG", label("St. Gallen", "Saint-Gall")),
    ("CH-SH", label("Schaffhausen", "Schaffhouse")),
    ("CH-SO", label("Solothurn", "Soleure")),
    ("CH-SZ", label("Schwyz", "Schwytz")),
    ("CH-TG", label("Thurgau", "Thurgovie")),
    ("CH-TI", label("Ticino", "Tessin")),
    ("CH-UR", label("Uri", "Uri")),
    ("CH-VD", label("Vaud", "Vaud")),
    ("CH-VS", label("Valais", "Valais")),
    ("CH-ZG", label("Zug", "Zoug")),
    ("CH-ZH", label("Zurich", "Zurich")),
    ("DE-BB", label("Brandenburg", "Brandebourg")),
    ("DE-BE", label("Berlin", "Berlin")),
    ("DE-BW", label("Baden-Württemberg", "Bade-Wurtemberg")),
    ("DE-BY", label("Bavaria", "Bavière")),
    ("DE-HB", label("Bremen", "Brême")),
    ("DE-HE", label("Hesse", "Hesse")),
    ("DE-HH", label("Hamburg", "Hambourg")),
    ("DE-MV", label("Mecklenburg-Vorpommern", "Mecklembourg-Poméranie-Occidentale")),
    ("DE-NI", label("Lower Saxony", "Basse-Saxe")),
    ("DE-NW", label("North Rhine-Westphalia", "Rhénanie-du-Nord-Westphalie")),
    ("DE-RP", label("Rhineland-Palatinate", "Rhénanie-Palatinat")),
    ("DE-SH", label("Schleswig-Holstein", "Schleswig-Holstein")),
    ("DE-SL", label("Saarland", "Sarre")),
    ("DE-SN", label("Saxony", "Saxe")),
    ("DE-ST", label("Saxony-Anhalt", "Saxe-Anhalt")),
    ("DE-TH", label("Thuringia", "Thuringe")),
    ("FR-57", label("Moselle", "Moselle")),
    ("FR-67", label("Bas-Rhin", "Bas-Rhin")),
    ("FR-68", label("Haut-Rhin", "Haut-Rhin")),
    ("FR-6AE", label("Alsace", "Alsace")),
    ("FR-971", label("Guadeloupe", "Guadeloupe")),
    ("FR-972", label("Martinique", "Martinique")),
    ("FR-973", label("French Guiana", "Guyane")),
    ("FR-974", label("Réunion", "La Réunion")),
    ("FR-976", label("Mayotte", "Mayotte")),
];

/// The kinds of records in the audit log and in events, and the resources of permissions.
const KINDS: &[(&str, Label)] = &[
    ("settings", label("Settings", "Paramètres")),
    ("organisation", label("Organisation", "Organisation")),
    ("user", label("User", "Utilisateur")),
    ("role", label("Role", "Rôle")),
    ("integration-key", label("Integration key", "Clé d’intégration")),
    ("oauth-client", label("OAuth client", "Client OAuth")),
    ("oauth-grant", label("Granted access", "Accès accordé")),
    ("customer", label("Customer", "Client")),
    ("contact", label("Contact", "Contact")),
    ("phone-call", label("Call", "Appel")),
    ("chat", label("Chat", "Discussion")),
    ("webhook", label("Webhook", "Webhook")),
    ("routing-contact", label("Routing contact", "Contact de routage")),
    ("contact-dismissal", label("Dismissed pair of contacts", "Paire de contacts écartée")),
    ("customer-dismissal", label("Dismissed pair of customers", "Paire de clients écartée")),
    ("routing-field", label("Routing field", "Champ de routage")),
    ("routing-option", label("Routing option", "Option de routage")),
    ("call-queue", label("Call queue", "File d’attente")),
    ("call-queue-group", label("Queue group", "Groupe de files")),
    ("time-span", label("Time span", "Plage horaire")),
    ("routing-exception", label("Exception", "Exception")),
    ("cti", label("CTI", "CTI")),
    ("cti-destination", label("CTI destination", "Destination CTI")),
    ("geo-list", label("Geo list", "Liste géographique")),
    ("geo-destination", label("Geo destination", "Destination géographique")),
    ("cfd-token", label("Call-flow token", "Jeton CFD")),
    ("survey", label("Survey", "Enquête")),
    ("survey-record", label("Survey response", "Réponse à une enquête")),
    ("routing", label("Call routing", "Routage des appels")),
    ("crm", label("CRM look-up", "Recherche CRM")),
    ("audit", label("Audit log", "Journal d’audit")),
    ("workspace", label("Workspace", "Espace de travail")),
];

/// The second parts of events.
const VERBS: &[(&str, Label)] = &[
    ("created", label("created", "création")),
    ("updated", label("changed", "modification")),
    ("deleted", label("deleted", "suppression")),
    ("*", label("everything", "tout")),
];

impl Translations {
    /// What people call a value of a choice in this field. None if the value is not one of a choice.
    pub fn choice(self, field: &str, value: &str) -> Option<String> {
        let own = OF_FIELDS.iter().find(|(known, choice, _)| (*known, *choice) == (field, value));
        let any = || OF_ANY_FIELD.iter().find(|(choice, _)| *choice == value).map(|(_, label)| label);
        match own.map(|(_, _, label)| label).or_else(any) {
            Some(label) => Some(self.label(*label)),
            None if value == "*" => Some(self.label(label("Everything", "Tout"))),
            None => self.record_kind(value).or_else(|| self.permission(value)).or_else(|| self.event(value)),
        }
    }

    /// A label in this language.
    pub fn label(self, label: Label) -> String {
        match self.0 {
            Language::English => label.english.to_owned(),
            Language::French => label.french.to_owned(),
        }
    }

    /// What people call a kind of record: a word of its own, or the name of its resource.
    pub fn record_kind(self, name: &str) -> Option<String> {
        let known = KINDS.iter().find(|(known, _)| *known == name).map(|(_, label)| *label);
        let of_resource = || {
            let mut all = workspace::resources();
            let resource = all.find(|resource| resource.recorded.iter().any(|recorded| recorded.name == name))?;
            Some(label(resource.name, resource.french_name))
        };
        known.or_else(of_resource).map(|label| self.label(label))
    }

    fn permission(self, name: &str) -> Option<String> {
        let (_, can) = permission_catalog::in_words(self.0).find(|(known, _)| known == name)?;
        let first = can.chars().next()?;
        Some(first.to_uppercase().chain(can[first.len_utf8()..].chars()).collect())
    }

    /// An event such as `contact.created`, or `contact.*`: all events or all permissions of a kind.
    fn event(self, name: &str) -> Option<String> {
        let (kind, verb) = name.split_once('.')?;
        let (kind, verb) = (self.record_kind(kind)?, VERBS.iter().find(|(known, _)| *known == verb)?.1);
        Some(match self.0 {
            Language::English => format!("{kind}: {}", verb.english),
            Language::French => format!("{kind}\u{a0}: {}", verb.french),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::api::Layer;
    use crate::tests::description;
    use crate::workspace::RECORDED_NAMES;

    /// Every value of a choice in the description of the API, with its field.
    fn choices(part: &Value, field: &str, found: &mut BTreeSet<(String, String)>) {
        if let Value::Array(parts) = part {
            parts.iter().for_each(|part| choices(part, field, found));
        }
        let Value::Object(parts) = part else { return };
        let own = parts.get("name").and_then(Value::as_str).map(|name| {
            name.strip_prefix("filter[").map_or(name, |rest| rest.split(']').next().unwrap_or(rest)).to_owned()
        });
        let field = own.as_deref().unwrap_or(field);
        for value in parts.get("enum").and_then(Value::as_array).into_iter().flatten().filter(|value| !value.is_null())
        {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            found.insert((field.to_owned(), value));
        }
        for (name, part) in parts.iter().filter(|(name, _)| !["example", "examples"].contains(&name.as_str())) {
            match (name.as_str(), part) {
                ("properties", Value::Object(fields)) => {
                    fields.iter().for_each(|(name, schema)| choices(schema, name, found));
                }
                _ => choices(part, field, found),
            }
        }
    }

    #[test]
    fn every_value_of_a_choice_has_a_label_in_both_languages() {
        let mut found = BTreeSet::new();
        for layer in [Layer::Central, Layer::Workspace] {
            choices(&description(layer), "", &mut found);
        }
        found.extend(RECORDED_NAMES.iter().map(|name| ("resource".to_owned(), (*name).to_owned())));
        found.extend((0..7).map(|day| ("day_of_week".to_owned(), day.to_string())));
        assert!(found.len() > 150, "{found:?}");
        for (field, value) in found {
            for language in [Language::English, Language::French] {
                let label = Translations(language).choice(&field, &value);
                assert!(label.as_ref().is_some_and(|label| !label.is_empty()), "{field} {value} {language:?}");
                assert!(value.parse::<i64>().is_err() || label != Some(value.clone()));
            }
        }
    }

    #[test]
    fn a_permission_an_event_and_a_wildcard_are_said_in_words() {
        let french = Translations(Language::French);
        let said = |field, value| french.choice(field, value).unwrap();
        assert_eq!(said("permissions", "contact.view"), "Voir les contacts");
        assert_eq!(said("permissions", "routing.*"), "Routage des appels\u{a0}: tout");
        assert_eq!(said("events", "call-queue.updated"), "File d’attente\u{a0}: modification");
        assert_eq!(said("day_of_week", "1"), "Lundi");
        assert_eq!(french.choice("city", "Paris"), None);
    }
}
