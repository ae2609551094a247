//! The rules behind the sentences of the API about a request, and the same sentences for people: in their language, and
//! with the label of a field instead of its name.
//!
//! A sentence is read by its rule: the rule says which words are the name of the field, and which are values. So the API
//! has each sentence in one place and in one language, and every sentence of every type and handler has its translation
//! here. The tests check each rejected request of each test.

use std::borrow::Cow;

use super::translations::Translations;
use crate::values::Language;

/// A sentence of the API, and the same in French. `{field}` and `{other}` are names of fields, `{n}` and `{m}` numbers,
/// `{text}` any text.
struct Rule(&'static str, &'static str);

/// The first rule that fits a sentence counts.
static RULES: &[Rule] = &[
    Rule("The password confirmation does not match.", "La confirmation du mot de passe est différente."),
    Rule("The file must be text in UTF-8.", "Le fichier n’est pas un texte en UTF-8."),
    Rule("The file begins as UTF-16 but is not valid UTF-16.", "Le fichier n’est pas un texte en UTF-16 valable."),
    Rule(
        "The file has a UTF-8 byte order mark but is not valid UTF-8.",
        "Le fichier n’est pas un texte en UTF-8 valable.",
    ),
    Rule(
        "The file may not have more than {n} rows. Send it in parts.",
        "Le fichier ne peut pas avoir plus de {n} lignes\u{a0}: envoyez-le en plusieurs fois.",
    ),
    Rule("The file may not have more than {n} columns.", "Le fichier ne peut pas avoir plus de {n} colonnes."),
    Rule(
        "The fields must be as many as the {n} columns.",
        "Il faut un champ, ou aucun, pour chacune des {n} colonnes.",
    ),
    Rule("The selected field {text} is invalid; it may be {text}.", "Ces enregistrements n’ont pas ce champ."),
    Rule(
        "The columns {text} and {text} have the same field: {field}.",
        "Deux colonnes sont importées dans le même champ\u{a0}: {field}.",
    ),
    // A merge may name any field.
    Rule("The selected fields {text} is invalid; it may be {text}.", "Un choix de la fusion n’est pas valable."),
    Rule("The selected fields {text} is invalid.", "La fusion nomme un champ qui n’existe pas."),
    Rule("The fields {text} field is required.", "Il manque un choix de la fusion."),
    Rule("The fields {text} must be {text}.", "Un choix de la fusion n’est pas valable."),
    Rule("At least one column must have a field.", "Il faut un champ pour au moins une colonne."),
    Rule(
        "The key {field} must be the field of a column.",
        "Aucune colonne n’est importée dans le champ qui reconnaît les enregistrements\u{a0}: {field}.",
    ),
    Rule(
        "{n} records were refused. Nothing was imported.",
        "{n} enregistrements ont été refusés. Rien n’a été importé.",
    ),
    Rule(
        "Records were refused. Correct them, or leave them out. Nothing was imported.",
        "Des enregistrements ont été refusés. Corrigez-les, ou laissez-les de côté. Rien n’a été importé.",
    ),
    Rule(
        "The import is running. Wait until it has ended.",
        "L’importation est en cours. Attendez qu’elle soit terminée.",
    ),
    Rule(
        "This import is done. Upload the file again to import it again.",
        "Cette importation est terminée. Envoyez de nouveau le fichier pour recommencer.",
    ),
    Rule(
        "A part of the records is imported. Run the import to continue with the others.",
        "Une partie des enregistrements est déjà importée. Continuez l’importation pour les autres.",
    ),
    Rule("Check the import first.", "Lancez d’abord l’essai."),
    Rule(
        "The file of this import is no longer there. Upload it again.",
        "Le fichier de cette importation n’est plus là. Envoyez-le de nouveau.",
    ),
    Rule(
        "You may keep {n} imports of {m} MiB. Delete one that you no longer need.",
        "Vous pouvez garder {n} imports de {m}\u{a0}Mio. Supprimez-en un dont vous n’avez plus besoin.",
    ),
    Rule(
        "The workspace may keep {n} imports of {m} MiB. They are deleted after 24 hours.",
        "L’espace de travail peut garder {n} imports de {m}\u{a0}Mio. Ils sont supprimés après 24 heures.",
    ),
    Rule(
        "The first line must contain column names; they may be {text}.",
        "La première ligne doit contenir les noms des colonnes.",
    ),
    Rule("The column {text} is repeated.", "Une colonne est répétée."),
    Rule(
        "The row has a misplaced quote. A value with quotes must be quoted, and its quotes doubled.",
        "Un guillemet est mal placé dans la ligne.",
    ),
    Rule(
        "The row that begins in line {n} has a quote that is not closed.",
        "La ligne {n} a un guillemet qui n’est pas fermé.",
    ),
    Rule("The row has {n} cells, but there are {m} columns.", "La ligne a {n} cellules, mais il y a {m} colonnes."),
    Rule("The row must be an object.", "La ligne doit être un objet."),
    Rule("The item must be an object.", "L’élément doit être un objet."),
    Rule(
        "The body must be a list of rows, or an object with one under data or {text}.",
        "La demande doit contenir une liste de lignes.",
    ),
    Rule("The body must be an object.", "La demande doit être un objet."),
    Rule(
        "The query may not be longer than {n} bytes.",
        "L’adresse ne peut pas dépasser {n} octets\u{a0}: retirez des filtres.",
    ),
    Rule("The cursor does not belong to this list.", "Cette page de la liste n’existe plus\u{a0}: revenez au début."),
    Rule("The page must be an integer of at least {n}.", "Le numéro de page doit être un entier d’au moins {n}."),
    Rule("The sort may not have more than {n} keys.", "Le tri ne peut pas avoir plus de {n} critères."),
    Rule("The selected sort {text} is invalid; it may be {text}.", "La liste ne peut pas être triée ainsi."),
    Rule("The selected filter {text} is invalid; it may be {text}.", "La liste n’a pas ce filtre."),
    Rule("The parameter {text} is unknown; it may be {text}.", "Un paramètre de l’adresse est inconnu."),
    Rule(
        "The term filters may not have more than {n} words and {m} characters in all.",
        "La recherche ne peut pas avoir plus de {n} mots et {m} caractères.",
    ),
    Rule(
        "A week may not have more than {n} starts and ends of time spans.",
        "Une semaine ne peut pas avoir plus de {n} débuts et fins de plages horaires.",
    ),
    Rule("There may not be more than {n} filters.", "Il ne peut pas y avoir plus de {n} filtres."),
    Rule("The filter {field} takes one value, without an operator.", "Le filtre {field} prend une seule valeur."),
    Rule(
        "The filter {field} needs a field name after a dot, like {text}.",
        "Le filtre {field} demande le nom d’un champ après un point.",
    ),
    Rule("The filter {field} has no operator {text}.", "Le filtre {field} n’a pas cet opérateur."),
    Rule("Send the user id or the account id, not both.", "Indiquez l’utilisateur ou le compte, pas les deux."),
    Rule(
        "The subdomain must be that of the workspace, as a confirmation.",
        "Le sous-domaine doit être celui de l’espace de travail, pour confirmer.",
    ),
    Rule("The call type and the direction contradict each other.", "Le type et le sens de l’appel se contredisent."),
    Rule("The end time must differ from the start time.", "L’heure de fin doit être différente de l’heure de début."),
    Rule("The origin may have a * at its end only.", "L’origine ne peut avoir une * qu’à la fin."),
    Rule(
        "The grants may not have client_credentials if the client is public.",
        "Un client public ne peut pas avoir d’accès en son propre nom.",
    ),
    Rule("The url may not hold a user or a password.", "L’URL ne peut pas contenir d’utilisateur ni de mot de passe."),
    Rule("The url may not lead to a private address.", "L’URL ne peut pas mener à une adresse privée."),
    Rule(
        "The selected region is invalid; no region of this country has holidays of its own.",
        "Aucune région de ce pays n’a de jours fériés particuliers.",
    ),
    Rule(
        "The {field} fits in no free field: {text}. Choose one of the two numbers.",
        "Aucun champ n’est libre pour {field}\u{a0}: {text}. Choisissez l’un des deux numéros.",
    ),
    Rule("The {field} cannot be both values.", "{field} ne peut pas avoir les deux valeurs."),
    Rule("The {field} and {other} must be different.", "{field} et {other} doivent être différents."),
    Rule(
        "Both customers have a routing contact with the same {field}: {text}.",
        "Les deux clients ont un contact de routage avec la même valeur de {field}\u{a0}: {text}.",
    ),
    Rule(
        "Both customers have a geo list with the same {field}: {text}.",
        "Les deux clients ont une liste géographique avec la même valeur de {field}\u{a0}: {text}.",
    ),
    Rule(
        "Both customers have a call queue with the same {field}: {text}.",
        "Les deux clients ont une file d’attente avec la même valeur de {field}\u{a0}: {text}.",
    ),
    Rule(
        "The {field} matches several {text}: use an id.",
        "Plusieurs enregistrements ont cette valeur\u{a0}: {field}. Indiquez un identifiant.",
    ),
    Rule(
        "The {field} field is required when {other} and {other} are not present.",
        "{field} est obligatoire sans {other} ni {other}.",
    ),
    Rule(
        "The {field} field is required when {other}, {other} and {other} are not present.",
        "{field} est obligatoire sans {other}, {other} ni {other}.",
    ),
    Rule("The {field} field is required when {other} is not present.", "{field} est obligatoire sans {other}."),
    Rule("The {field} field is required when {other} is present.", "{field} est obligatoire avec {other}."),
    Rule("The {field} field is prohibited when {other} is present.", "{field} n’est pas possible avec {other}."),
    Rule("The {field} field is prohibited.", "{field} ne peut pas être indiqué."),
    Rule("The {field} field is required.", "{field} est obligatoire."),
    Rule("The {field} field is repeated.", "{field} n’est pas valable."),
    Rule("The {field} has already been taken.", "Cette valeur existe déjà\u{a0}: {field}."),
    Rule("The {field} may not be one of the {other}.", "{field} ne peut pas être dans {other}."),
    Rule("The {field} may not be before the {other}.", "{field} ne peut pas précéder {other}."),
    Rule("The {field} may not be greater than {n} characters.", "{field} ne peut pas dépasser {n} caractères."),
    Rule("The {field} may not be greater than {n} bytes.", "{field} ne peut pas dépasser {n} octets."),
    Rule("The {field} may not be greater than {n}.", "{field} ne peut pas dépasser {n}."),
    Rule("The {field} may not be more than {n}.", "{field} ne peut pas avoir plus de {n} éléments."),
    Rule("The {field} may not have more than {n} words.", "{field} ne peut pas avoir plus de {n} mots."),
    Rule(
        "The {field} may not be nested more than {n} deep.",
        "{field} ne peut pas être imbriqué sur plus de {n} niveaux.",
    ),
    Rule("The {field} may not contain a null character.", "{field} n’est pas valable."),
    Rule("The {field} may only contain the placeholders {text}.", "{field} ne peut contenir que les champs {text}."),
    Rule(
        "The {field} may have placeholders only after its host.",
        "{field} ne peut avoir de champs qu’après son hôte.",
    ),
    Rule("The {field} has an unmatched brace.", "{field} a une accolade isolée."),
    Rule(
        "The {field} may only contain letters, digits and single hyphens between them.",
        "{field} ne peut contenir que des lettres, des chiffres et des tirets isolés entre eux.",
    ),
    Rule("The {field} is reserved.", "{field} est réservé."),
    Rule(
        "The {field} is too common: choose one that is harder to guess.",
        "{field} est trop courant\u{a0}: choisissez-en un plus difficile.",
    ),
    Rule(
        "The {field} is too easy to guess: it is your name or address, or the name of this site.",
        "{field} est trop facile à deviner\u{a0}: c’est votre nom, votre adresse ou le nom de ce site.",
    ),
    Rule("The {field} must be at least {n} characters.", "{field} doit avoir au moins {n} caractères."),
    Rule("The {field} must be at least {n}.", "{field} doit être d’au moins {n}."),
    Rule("The {field} must be between {n} and {m}.", "{field} doit être entre {n} et {m}."),
    Rule("The {field} must be 1: the request revokes all tokens except its own.", "{field} doit être 1."),
    Rule("The {field} must be a valid email address.", "{field} n’est pas une adresse e-mail."),
    Rule(
        "The {field} must be a valid date and time, like {text}.",
        "{field} doit être une date et une heure, comme {text}.",
    ),
    Rule("The {field} must be a valid date, like {text}.", "{field} doit être une date, comme {text}."),
    Rule("The {field} must be a valid date.", "{field} doit être une date."),
    Rule(
        "The {field} must be a time of day, like 09:00 or 09:00:30.",
        "{field} doit être une heure, comme 09:00 ou 09:00:30.",
    ),
    Rule(
        "The {field} must be seconds, or hours, minutes and seconds, like {text}.",
        "{field} doit être en secondes, ou en heures, minutes et secondes, comme {text}.",
    ),
    Rule("The {field} must be a locale, like fr or fr-FR.", "{field} doit être une langue, comme fr ou fr-FR."),
    Rule(
        "The {field} must be a time zone of the IANA database, like {text}.",
        "{field} doit être un fuseau horaire, comme {text}.",
    ),
    Rule(
        "The {field} must be an ISO 3166 code of two letters, like FR.",
        "{field} doit être un code de pays de deux lettres, comme FR.",
    ),
    Rule("The {field} must be a PBX with a template: {text}.", "{field} doit être un PBX connu\u{a0}: {text}."),
    Rule(
        "The {field} must be an address, a network or a name, like 192.0.2.1, 10.0.0.0/8 or pbx.example.com.",
        "{field} doit être une adresse, un réseau ou un nom, comme 192.0.2.1, 10.0.0.0/8 ou pbx.example.com.",
    ),
    Rule(
        "The {field} must be an absolute https URL (or http on the loopback address) without a fragment or a wildcard.",
        "{field} doit être une URL https complète, sans fragment ni joker.",
    ),
    Rule("The {field} must be an absolute http or https URL.", "{field} doit être une URL http ou https complète."),
    Rule(
        "The {field} must be {text} and {n} to {m} bytes in base64.",
        "{field} doit être {text} et {n} à {m} octets en base64.",
    ),
    Rule("The {field} must be true or false.", "{field} doit être vrai ou faux."),
    Rule("The {field} must be a list of integers.", "{field} doit être une liste de nombres entiers."),
    Rule("The {field} must be a list.", "{field} doit être une liste."),
    Rule("The {field} must be an object.", "{field} doit être un objet."),
    Rule("The {field} must be an integer.", "{field} doit être un nombre entier."),
    Rule("The {field} must be a string.", "{field} doit être un texte."),
    Rule("The {field} must be {text}.", "{field} n’est pas valable."),
    Rule(
        "The selected {field} is invalid; it may be {text}.",
        "{field} n’est pas valable\u{a0}: choisissez une valeur de la liste.",
    ),
    Rule("The selected {field} is invalid.", "{field} n’est pas valable\u{a0}: ce choix n’existe pas."),
    // States
    Rule("You can only grant what you may do yourself.", "Vous ne pouvez accorder que vos propres droits."),
    Rule(
        "Only an operator may list all workspaces.",
        "Seul un opérateur du serveur peut voir tous les espaces de travail.",
    ),
    Rule("Only an operator of this server may do this.", "Seul un opérateur du serveur peut faire cela."),
    Rule("Only the owner of a workspace may do this.", "Seul le propriétaire d’un espace de travail peut faire cela."),
    Rule("This needs a user's token, not a key.", "Cela demande une personne, pas une clé."),
    Rule("This needs a user's own token.", "Cela demande une personne, pas une application."),
    Rule(
        "The token of a call flow can only look up routes.",
        "Le jeton d’un scénario d’appel ne peut que chercher des destinations.",
    ),
    Rule(
        "This token or key is bound to one customer and may not access anything else.",
        "Ce jeton ou cette clé ne vaut que pour un client.",
    ),
    Rule("This requires the permission {text}.", "Il vous manque la permission {text}."),
    Rule("A pending invitation has this role.", "Une invitation en attente a ce rôle."),
    Rule(
        "Users have this role. Assign them another role first.",
        "Des utilisateurs ont ce rôle\u{a0}: donnez-leur d’abord un autre rôle.",
    ),
    Rule("The quota {text} is reached. {n} are allowed.", "Le quota est atteint\u{a0}: {n} au plus."),
];

/// Prefixes of sentences about one of many records.
const PREFIXES: &[(&str, &str)] = &[("row ", "Ligne "), ("item ", "Élément "), ("line ", "Ligne ")];

/// A sentence that a rule explains.
struct Read<'s> {
    rule: &'static Rule,
    values: Vec<(&'static str, &'s str)>,
}

/// The words that name the field of a sentence: `last name`.
pub fn field_words(sentence: &str) -> Option<&str> {
    let read = read(without_prefix(sentence).1)?;
    read.values.iter().find(|(name, _)| *name == "field").map(|(_, words)| *words)
}

/// The sentence in the language of a person. `label` gives the label of a field by the words that name it. A record may
/// have several sentences after its number. `None` if no rule explains one of them.
pub fn stated(words: Translations, sentence: &str, label: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let (prefix, rest) = without_prefix(sentence);
    let state = |read: &Read<'_>| state_one(words, read, label);
    let Some((kind, number)) = prefix else { return read(rest).as_ref().map(state) };
    let said = read_each(rest)?.iter().map(state).collect::<Vec<_>>().join(" ");
    Some(match words.0 {
        Language::English => format!("{kind}{number}: {said}"),
        Language::French => {
            let french = PREFIXES.iter().find(|(english, _)| *english == kind).map_or(kind, |(_, french)| french);
            format!("{french}{number}\u{a0}: {said}")
        }
    })
}

/// One sentence in the language of a person.
fn state_one(words: Translations, read: &Read<'_>, label: &dyn Fn(&str) -> Option<String>) -> String {
    let name = |words: &str| label(words).unwrap_or_else(|| words.to_owned());
    let quoted = |text: &str| match words.0 {
        Language::English => format!("\u{201c}{text}\u{201d}"),
        // A name with its article is already a part of the sentence.
        Language::French if text.starts_with("Le ") || text.starts_with("L’") => text.to_owned(),
        Language::French => format!("«\u{a0}{text}\u{a0}»"),
    };
    let template = match words.0 {
        Language::English => Cow::Owned(for_people(read.rule.0)),
        Language::French => Cow::Borrowed(read.rule.1),
    };
    let mut said = template.into_owned();
    for (kind, value) in &read.values {
        let shown = if ["field", "other"].contains(kind) { quoted(&name(value)) } else { (*value).to_owned() };
        said = said.replacen(&format!("{{{kind}}}"), &shown, 1);
    }
    said
}

/// The English sentence about a label instead of the name of a field: “Last name” is required.
fn for_people(template: &str) -> String {
    template
        .replacen("The {field} field ", "{field} ", 1)
        .replacen("The {field} ", "{field} ", 1)
        .replace("the {other}", "{other}")
}

/// The kind and number of the record that a sentence is about, and the sentence about it.
fn without_prefix(sentence: &str) -> (Option<(&'static str, &str)>, &str) {
    for (kind, _) in PREFIXES {
        if let Some((number, rest)) = sentence.strip_prefix(kind).and_then(|rest| rest.split_once(": "))
            && is_number(number)
        {
            return (Some((kind, number)), rest);
        }
    }
    (None, sentence)
}

fn read(sentence: &str) -> Option<Read<'_>> {
    RULES.iter().find_map(|rule| Some(Read { rule, values: values(rule.0, sentence)? }))
}

/// Reads one sentence or several, which a space separates.
fn read_each(text: &str) -> Option<Vec<Read<'_>>> {
    let mut sentences = Vec::new();
    let mut start = 0;
    let ends = text.match_indices(". ").map(|(at, _)| at + 1).chain([text.len()]);
    for end in ends {
        // A sentence may contain a period: it then ends at a later one.
        if let Some(read) = read(&text[start..end]) {
            sentences.push(read);
            start = end + 1;
        }
    }
    (start > text.len()).then_some(sentences)
}

/// The values of a template in a sentence. `None` if the sentence has another form.
fn values<'s>(template: &'static str, sentence: &'s str) -> Option<Vec<(&'static str, &'s str)>> {
    let (start, mut rest_of_template) = template.split_once('{').unwrap_or((template, ""));
    let mut rest = sentence.strip_prefix(start)?;
    let mut values = Vec::new();
    while !rest_of_template.is_empty() {
        let (kind, after) = rest_of_template.split_once('}')?;
        let (literal, next) = after.split_once('{').unwrap_or((after, ""));
        let end = if next.is_empty() { rest.strip_suffix(literal)?.len() } else { rest.find(literal)? };
        let value = &rest[..end];
        let fits = match kind {
            "n" | "m" => is_number(value),
            "field" | "other" => is_field(value),
            _ => true,
        };
        if !fits {
            return None;
        }
        values.push((kind, value));
        rest = rest.get(end + literal.len()..)?;
        rest_of_template = next;
    }
    rest.is_empty().then_some(values)
}

/// Whether a text can name a field. The end of a sentence cannot be in it.
fn is_field(text: &str) -> bool {
    !text.is_empty() && !text.contains(". ") && text.chars().all(|c| c.is_alphanumeric() || " _-.".contains(c))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn in_french(sentence: &str) -> Option<String> {
        let label = |words: &str| (words == "last name").then(|| "Nom".to_owned());
        stated(Translations(Language::French), sentence, &label)
    }

    #[test]
    fn a_sentence_is_read_by_its_rule() {
        for (sentence, french) in [
            ("The last name field is required.", "«\u{a0}Nom\u{a0}» est obligatoire."),
            (
                "The last name may not be greater than 255 characters.",
                "«\u{a0}Nom\u{a0}» ne peut pas dépasser 255 caractères.",
            ),
            ("item 3: The last name must be a string.", "Élément 3\u{a0}: «\u{a0}Nom\u{a0}» doit être un texte."),
            (
                "The selected last name is invalid; it may be a, b.",
                "«\u{a0}Nom\u{a0}» n’est pas valable\u{a0}: choisissez une valeur de la liste.",
            ),
        ] {
            assert_eq!(in_french(sentence).as_deref(), Some(french));
        }
        assert_eq!(in_french("Something else."), None);
        let label = |_: &str| Some("Name".to_owned());
        let english = stated(Translations(Language::English), "The last name field is required.", &label);
        assert_eq!(english.as_deref(), Some("“Name” is required."));
        assert_eq!(field_words("The selected ids 3 is invalid."), Some("ids 3"));
    }

    #[test]
    fn every_sentence_about_a_record_is_stated() {
        for (sentences, french) in [
            (
                "row 8: The id must be an integer. The created at must be a valid date, like 2024-01-20.",
                "Ligne 8\u{a0}: «\u{a0}id\u{a0}» doit être un nombre entier. «\u{a0}created at\u{a0}» doit être une date, comme 2024-01-20.",
            ),
            (
                "row 1: The row has a misplaced quote. A value with quotes must be quoted, and its quotes doubled.",
                "Ligne 1\u{a0}: Un guillemet est mal placé dans la ligne.",
            ),
        ] {
            assert_eq!(in_french(sentences).as_deref(), Some(french));
        }
        assert_eq!(in_french("row 1: The id must be an integer. Something else."), None);
        assert_eq!(in_french("row 1: "), None);
    }

    proptest! {
        #[test]
        fn any_two_rules_about_a_record_are_both_stated(one in 0..RULES.len(), other in 0..RULES.len()) {
            let [one, other] = [one, other].map(|at| sample(&RULES[at]));
            let alone = [&one, &other].map(|sentence| in_french(sentence).unwrap());
            let both = in_french(&format!("row 2: {one} {other}")).unwrap();
            prop_assert_eq!(both, format!("Ligne 2\u{a0}: {} {}", alone[0], alone[1]));
        }
    }

    /// A sentence that a rule explains.
    fn sample(rule: &Rule) -> String {
        let sentence = rule.0.replace("{field}", "a").replace("{other}", "a");
        sentence.replace("{n}", "1").replace("{m}", "2").replace("{text}", "x")
    }

    #[test]
    fn every_rule_is_read_by_itself_and_not_by_one_before_it() {
        for rule in RULES {
            let sample = sample(rule);
            let found = read(&sample).unwrap_or_else(|| panic!("{sample}"));
            assert!(std::ptr::eq(found.rule, rule), "{sample}: {}", found.rule.0);
            let french = rule.1.matches('{').count();
            assert!(french <= rule.0.matches('{').count(), "{}", rule.1);
        }
    }
}
