//! The texts of the console in each language, apart from the labels that resources declare.

use crate::api::field::Label;
use crate::api::resource::{PermissionAction, Section};
use crate::pages::translations::{Translations, words};
use crate::values::Language;

words! {
    skip_to_content(): "Skip to content", "Aller au contenu";
    menu(): "Menu", "Menu";
    sections_label(): "Sections", "Sections";
    home(): "Home", "Accueil";
    account(): "Account", "Compte";
    sign_out(): "Sign out", "Se déconnecter";
    other_workspaces(): "Other workspaces", "Autres espaces de travail";
    all_workspaces(): "All workspaces", "Tous les espaces de travail";
    search(): "Search", "Rechercher";
    search_everything(): "Search everything", "Rechercher partout";
    search_in(what): "Search {what}", "Rechercher dans {what}";
    search_hint():
        "A name, a number in any format, an address or an account.",
        "Un nom, un numéro sous toute forme, une adresse ou un compte.";
    survey_means(): "Surveys: mean of the first score (answers)", "Enquêtes\u{a0}: moyenne de la première note (réponses)";
    a_survey(): "Survey", "Enquête";
    calls(): "Calls", "Appels";
    calls_now(): "Calls now", "Appels en cours";
    about_calls_now():
        "Callers that your phone system looked up in the last five minutes.",
        "Les appelants que votre standard a recherchés ces cinq dernières minutes.";
    nobody_calls(): "Nobody just now.", "Personne pour le moment.";
    reloads_itself(): "This page loads itself again every 5 seconds.", "Cette page se recharge toutes les 5 secondes.";
    stop(): "Stop", "Arrêter";
    who_calls(): "Who calls", "Qui appelle";
    unknown_caller(): "Unknown caller", "Appelant inconnu";
    last_calls(): "Last calls", "Derniers appels";
    open_record(): "Open", "Ouvrir";
    new_contact(): "New contact", "Nouveau contact";
    take_a_note(): "Note", "Noter";
    extension(): "Extension", "Poste";
    times_in(zone): "Times: {zone}", "Heures\u{a0}: {zone}";
    version(number): "Version {number}", "Version {number}";
    api_reference(): "API reference", "Référence de l’API";

    yes(): "Yes", "Oui";
    no(): "No", "Non";
    any(): "Any", "Tous";
    create(): "Create", "Créer";
    save(): "Save", "Enregistrer";
    cancel(): "Cancel", "Annuler";
    delete(): "Delete", "Supprimer";
    edit(): "Edit", "Modifier";
    copy(): "Copy", "Copier";
    connect(): "Connect", "Connecter";
    invite(): "Invite", "Inviter";
    export_as(): "Export", "Exporter";
    all(): "All", "Tout";
    colon(): ":", "\u{a0}:";
    actions(): "Actions", "Actions";
    action_for(action, number, what): "{action}: {number} {what}", "{action}\u{a0}: {number} {what}";
    action_on(action, name): "{action}: {name}", "{action}\u{a0}: {name}";
    action_for_all(action): "{action}: all", "{action}\u{a0}: tout";
    only_the_first(number): "Only the first {number}.", "Les {number} premiers seulement.";
    make_a_copy(): "Copy", "Dupliquer";
    add(): "Add", "Ajouter";
    new_record(what): "New {what}", "Ajouter {what}";
    change_record(what): "Change {what}", "Modifier {what}";
    delete_record(what): "Delete {what}?", "Supprimer {what}\u{a0}?";
    delete_many(number, what): "Delete {number} {what}?", "Supprimer {number} {what}\u{a0}?";
    cannot_be_undone(): "This cannot be undone.", "Cette action est définitive.";
    goes_with_it(): "What goes with it:", "Ce qui est aussi touché\u{a0}:";
    what_changes(): "What changes:", "Ce qui change\u{a0}:";
    and_others(number): "and {number} more", "et {number} de plus";
    type_number(number): "Type {number} to confirm", "Tapez {number} pour confirmer";
    type_the_number(): "Type the number of records to confirm.", "Tapez le nombre d’enregistrements pour confirmer.";
    nothing_ticked(): "No record is ticked.", "Aucun enregistrement n’est coché.";
    too_many_to_delete(most):
        "More than {most} records match. Narrow the filter.",
        "Plus de {most} enregistrements correspondent. Affinez le filtre.";
    delete_ticked(): "Delete ticked", "Supprimer les cochés";
    tick_all(): "Tick all rows of this page", "Cocher toutes les lignes de cette page";
    tick(what): "Tick {what}", "Cocher {what}";
    all_of_this_filter(number): "Delete all {number} of this list …", "Supprimer les {number} de cette liste …";

    more_than(number): "more than {number}", "plus de {number}";
    more_filters(): "More filters", "Plus de filtres";
    apply_filters(): "Apply", "Appliquer";
    clear_filters(): "Clear filters", "Effacer les filtres";
    nothing_found(): "Nothing matches these filters.", "Rien ne correspond à ces filtres.";
    nothing_here(): "Nothing here yet.", "Rien pour l’instant.";
    previous(): "Previous", "Précédent";
    next(): "Next", "Suivant";
    pages(): "Pages", "Pages";
    from_day(): "from", "du";
    until_day(): "until", "au";

    more_fields(): "More", "Autres";
    required(): "required", "obligatoire";
    one_per_line(): "One per line.", "Un par ligne.";
    moment_format(): "For example 2027-03-29 14:05.", "Par exemple 2027-03-29 14:05.";
    link_help(): "Type a name, or an id as #7.", "Tapez un nom, ou un identifiant comme #7.";
    json_help(): "As JSON.", "En JSON.";
    not_json(error): "This is not valid JSON: {error}.", "Ce JSON n’est pas valable\u{a0}: {error}.";
    pair_name(): "Name", "Nom";
    pair_value(): "Value", "Valeur";
    choose_the_kind_first(): "Choose the kind first.", "Choisissez d’abord le type.";
    no_such_record(text): "Nothing matches “{text}”.", "Rien ne correspond à «\u{a0}{text}\u{a0}».";
    several_records(names): "Several match. Choose one: {names}.", "Plusieurs correspondent. Choisissez\u{a0}: {names}.";
    problems_title(): "This could not be saved", "L’enregistrement a échoué";
    sent_already():
        "This form was sent already, with other values. Open a new form to create another record.",
        "Ce formulaire a déjà été envoyé avec d’autres valeurs. Ouvrez un nouveau formulaire pour créer un autre enregistrement.";
    still_saving():
        "This form is still being saved. Try again in a moment.",
        "Ce formulaire est en cours d’enregistrement. Réessayez dans un instant.";
    changed_meanwhile():
        "Somebody changed this record meanwhile. Look at it again before you delete it.",
        "Quelqu’un a modifié cet enregistrement entre-temps. Relisez-le avant de le supprimer.";

    everything(): "Everything", "Tout";
    other_scopes(): "For a PBX", "Pour un PBX";
    all_and_later():
        "“All” also covers what later versions add.",
        "«\u{a0}Tout\u{a0}» couvre aussi les ajouts des versions futures.";
    granted_by(wildcard): "granted by {wildcard}", "accordé par {wildcard}";
    not_yours(): "You do not have this permission.", "Vous n’avez pas cette permission.";

    both_changed(): "You and somebody else changed the same fields", "Vous et quelqu’un d’autre avez modifié les mêmes champs";
    both_changed_about():
        "Choose a value for each field. Your other changes stay.",
        "Choisissez une valeur pour chaque champ. Vos autres modifications restent.";
    numbers_read_again(): "Read phone numbers again?", "Relire les numéros de téléphone\u{a0}?";
    numbers_read_again_about(number, country):
        "Phone numbers that are read again as numbers of the country {country}: {number}.",
        "Numéros de téléphone relus comme numéros du pays {country}\u{a0}: {number}.";
    numbers_stay_as_typed():
        "They have no country prefix. They stay as they were typed, and are found as numbers of the new country.",
        "Ils n’ont pas d’indicatif de pays. Ils restent tels que saisis, et se trouvent ensuite comme numéros du nouveau pays.";
    duplicates(): "Duplicates", "Doublons";
    duplicates_about():
        "These records have a number, an address or a name in common. The surest pairs come first.",
        "Ces fiches ont en commun un numéro, une adresse ou un nom. Les plus sûres viennent en premier.";
    possible_duplicates(): "Possible duplicates", "Doublons possibles";
    not_the_same(): "Not the same", "Pas les mêmes";
    restore_pair(): "Restore", "Rétablir";
    none_found(): "None found.", "Aucun doublon.";
    none_found_yet(): "None found so far. More records follow.", "Aucun doublon jusqu’ici. D’autres fiches suivent.";
    in_common(): "In common", "En commun";
    shared_by(number): "in {number} records", "dans {number} fiches";
    compare(): "Compare", "Comparer";
    merge_record(name): "Merge {name}", "Fusionner {name}";
    other_record(): "Other record", "Autre fiche";
    same_record(): "Choose another record than this one.", "Choisissez une autre fiche que celle-ci.";
    is_deleted(): "is deleted", "est supprimée";
    swap_records(): "Keep the other one", "Conserver l’autre";
    same_in_both(): "Same in both", "Identique dans les deux";
    merge_now(): "Merge", "Fusionner";
    changed_before_merge():
        "Somebody changed the kept record meanwhile. Look at it again before you merge.",
        "Quelqu’un a modifié la fiche conservée entre-temps. Relisez-la avant de fusionner.";
    changed_by(who, when): "Last changed by {who}, {when}.", "Dernière modification\u{a0}: {who}, {when}.";
    before(): "Before", "Avant";
    theirs(): "Now", "Actuel";
    mine(): "Yours", "Le vôtre";
    empty(): "empty", "vide";

    secret_title(): "Save this secret now", "Enregistrez ce secret maintenant";
    secret_about():
        "It is shown only once. Anyone who has it can act with its permissions.",
        "Il n’est affiché qu’une fois. Quiconque le détient peut agir avec ses permissions.";
    secret_label(): "Secret", "Secret";
    try_it(): "Try it", "Essayer";
    secret_is_saved(): "I have saved it", "Je l’ai enregistré";

    history(): "History", "Historique";
    whole_history(): "All changes", "Toutes les modifications";
    audit_log(): "Audit log", "Journal d’audit";
    when(): "When", "Quand";
    who(): "Who", "Qui";
    from_address(): "From", "Depuis";
    field(): "Field", "Champ";
    kind(): "Kind", "Type";
    today(): "Today", "Aujourd’hui";
    by_me(): "By me", "Par moi";
    deletions(): "Deletions", "Suppressions";

    one_call(): "1 call", "1 appel";
    no_calls_yet(): "No calls yet.", "Aucun appel pour l’instant.";
    one_missed(number): "{number} missed", "{number} manqué";
    number_of_missed(number): "{number} missed", "{number} manqués";
    number_of_calls(number): "{number} calls", "{number} appels";
    calls_today(): "Calls today", "Appels d’aujourd’hui";
    same_day_last_week(): "Same day last week", "Même jour, semaine passée";
    calls_by_hour(): "Calls by hour", "Appels par heure";
    calls_by_day(): "Calls by day", "Appels par jour";
    last_days(number): "Calls of the last {number} days", "Appels des {number} derniers jours";
    most_at_hour(calls, missed, hour):
        "{calls}, {missed}, most at {hour}.",
        "{calls}, dont {missed}, surtout à {hour}.";
    most_on_day(calls, missed, day):
        "{calls}, {missed}, most on {day}.",
        "{calls}, dont {missed}, surtout le {day}.";
    bar(name, calls, missed): "{name}: {calls}, {missed}", "{name}\u{a0}: {calls}, dont {missed}";
    days_between(first, last): "{first} to {last}", "{first} au {last}";
    hour(): "Hour", "Heure";
    day(): "Day", "Jour";
    all_calls(): "Calls", "Appels";
    answered_calls(): "Answered", "Répondus";
    missed_calls(): "Missed", "Manqués";
    as_a_table(): "As a table", "En tableau";
    not_called_back(): "Missed and not called back", "Manqués et non rappelés";
    of_the_last_days(number): "Calls of the last {number} days, oldest first.", "Les {number} derniers jours, du plus ancien au plus récent.";
    all_called_back(number):
        "Everybody who was missed in the last {number} days was called back.",
        "Tous les appels manqués des {number} derniers jours ont été rappelés.";
    show_all(): "Show all", "Tout afficher";

    what_to_do_next(): "What to do next", "Pour commencer";
    step_done(): "Done", "Fait";
    step_contacts(): "Add your contacts", "Ajoutez vos contacts";
    step_contacts_about():
        "When a contact calls, you see the name.",
        "Quand un contact appelle, vous voyez son nom.";
    step_pbx(): "Connect your PBX", "Connectez votre PBX";
    step_pbx_about():
        "The PBX looks callers up here and records each call.",
        "Le PBX cherche ici qui appelle, et enregistre chaque appel.";
    step_team(): "Invite your team", "Invitez votre équipe";
    step_team_about(): "Each person gets a role.", "Chaque personne reçoit un rôle.";
    search_results(query): "Search: {query}", "Recherche\u{a0}: {query}";
    nothing_for(query): "Nothing matches “{query}”.", "Rien ne correspond à «\u{a0}{query}\u{a0}».";
    new_contact_with_this(): "New contact with this", "Nouveau contact avec ceci";

    about_me(): "About me", "Mon profil";
    about_me_here(workspace): "Your name and phones in {workspace}.", "Votre nom et vos téléphones dans {workspace}.";
    language(): "Language", "Langue";
    keyboard(): "Keys", "Raccourcis clavier";
    keyboard_about():
        "Single keys open pages and move through lists. “?” shows them.",
        "Des touches seules ouvrent les pages et parcourent les listes. «\u{a0}?\u{a0}» les affiche.";
    keys_off(): "Switch keys off", "Désactiver les raccourcis";
    keys_on(): "Switch keys on", "Activer les raccourcis";
    account_elsewhere():
        "Address, password, second factor and sessions belong to your account.",
        "L’adresse, le mot de passe, le second facteur et les sessions appartiennent à votre compte.";
    open_account(): "Open the account", "Ouvrir le compte";
    programs_for_me(): "Programs that act for you", "Les applications qui agissent pour vous";

    routing(): "Routing", "Routage";
    choose_customer(): "Choose a customer", "Choisissez un client";
    routing_about():
        "Call queues, opening hours and destinations belong to a customer.",
        "Files d’attente, horaires et destinations appartiennent à un client.";
    no_customer(): "No customer yet.", "Aucun client pour l’instant.";
    customer_account(): "Account of the customer", "Compte du client";

    week_of(name): "Week of {name}", "Semaine de {name}";
    week_before(): "Week before", "Semaine précédente";
    this_week(): "This week", "Cette semaine";
    week_after(): "Week after", "Semaine suivante";
    covered(): "Covered:", "Recouvert\u{a0}:";
    about_covered():
        "A dashed outline is a time span that does not apply then, because something else covers it.",
        "Un contour en tirets est une plage horaire qui ne s’applique pas alors, car autre chose la recouvre.";
    copy_day(): "Change or copy to …", "Modifier ou copier vers …";
    close_day(): "Close", "Fermer";
    close_earlier(): "Close earlier", "Fermer plus tôt";
    closed_days(): "Closed days", "Jours fermés";
    hours_of(day): "Hours: {day}", "Horaires\u{a0}: {day}";
    hours_of_about():
        "Empty both times to remove a time span. A destination that is empty is the number of the queue itself.",
        "Videz les deux heures pour retirer une plage. Une destination vide est le numéro de la file elle-même.";
    same_hours_on(): "The same hours on", "Les mêmes horaires le";
    see_what_changes(): "See what changes", "Voir les modifications";
    replace_hours(): "Replace these hours?", "Remplacer ces horaires\u{a0}?";
    replace(): "Replace", "Remplacer";
    afterwards(): "Afterwards", "Après";
    these_hours_already(): "These hours already:", "Déjà ces horaires\u{a0}:";
    holidays_of(name, year): "Closed days of {name}, {year}", "Jours fermés de {name}, {year}";
    week(): "Week", "Semaine";
    delete_holidays(): "Delete holidays …", "Supprimer les jours fériés …";
    add_a_day(): "Add a day", "Ajouter un jour";
    no_holiday_in(year): "No day is closed in {year}.", "Aucun jour n’est fermé en {year}.";
    every_year(): "every year", "chaque année";
    public_holidays(year): "Public holidays {year}", "Jours fériés {year}";
    those_again(year): "Those of {year} again", "Ceux de {year} à nouveau";
    whole_country(): "Whole country", "Tout le pays";
    days_to_create(): "Days", "Jours";
    there_already(): "Already there", "Déjà là";
    all_there_already(): "All there already.", "Tous déjà là.";
    not_public_holidays(): "Not in this calendar:", "Pas dans ce calendrier\u{a0}:";
    create_ticked(): "Create ticked", "Créer les cochés";
    hours(): "Hours", "Horaires";
    open(): "Open", "Ouvert";
    closed(): "Closed", "Fermé";
    inactive(): "Inactive", "Inactive";
    exception(): "Exception", "Exception";
    clock_skips(day, from, to):
        "{day}: the clock goes forward from {from} to {to}.",
        "{day}\u{a0}: l’heure avance de {from} à {to}.";
    clock_repeats(day, from, to):
        "{day}: the hours from {from} to {to} come twice.",
        "{day}\u{a0}: les heures de {from} à {to} reviennent deux fois.";

    answers_to(name): "Answers to {name}", "Réponses à {name}";
    answers(): "Answers", "Réponses";
    no_answer_in_this_time(): "No answer in this time.", "Aucune réponse sur cette période.";
    score(number): "Score {number}", "Note {number}";
    score_value(): "Value", "Valeur";
    number(): "Number", "Nombre";
    mean(): "mean", "moyenne";
    by_agent(): "By agent", "Par agent";
    agent(): "Agent", "Agent";
    no_agent(): "Without an agent", "Sans agent";
    zones_of(name): "Zones of {name}", "Zones de {name}";
    free_zones(number): "Free: {number}", "Libres\u{a0}: {number}";
    taken_zones(number): "Taken: {number}", "Attribuées\u{a0}: {number}";
    free(): "Free", "Libre";
    zone_code(): "Code", "Code";
    zone(): "Zone", "Zone";
    zone_owner(): "Belongs to", "Attribuée à";
    destination(): "Destination", "Destination";
    destination_for_ticked(): "One destination for the ticked zones", "Une destination pour les zones cochées";

    queues_now(): "Queues now", "Files maintenant";
    state(): "State", "État";
    until(): "Until", "Jusqu’à";
    where_would_it_go(): "Where would this call go?", "Où irait cet appel\u{a0}?";
    where_would_it_go_about():
        "Ask as your PBX does, and see what was tried.",
        "Demandez comme votre standard, et voyez ce qui a été essayé.";
    ask(): "Ask", "Demander";
    a_queue(): "Call queue", "File d’attente";
    a_contact(): "Routing contact", "Contact de routage";
    a_cti(): "CTI", "CTI";
    a_geo_list(): "Geo list", "Liste géographique";
    number_address_or_code(): "Number, address or code", "Numéro, adresse ou code";
    origin(): "Origin", "Origine";
    postcode_or_number(): "Postcode or number", "Code postal ou numéro";
    time(): "Time", "Heure";
    empty_is_now(): "Without a day: now.", "Sans jour\u{a0}: maintenant.";
    goes_to(destination): "Calls go to {destination}.", "Les appels vont vers {destination}.";
    goes_to_because(destination, reason):
        "Calls go to {destination} ({reason}).",
        "Les appels vont vers {destination} ({reason}).";
    no_destination(): "No destination was found.", "Aucune destination n’a été trouvée.";
    found_nothing(): "nothing", "rien";
    decides(): "decides", "décide";
    in_an_hour(): "In an hour", "Dans une heure";
    in_a_day(): "In a day", "Dans un jour";
    in_a_week(): "In a week", "Dans une semaine";
    as_a_program(): "As a program asks", "Comme le demande un programme";

    import(): "Import", "Importer";
    import_of(what): "Import {what}", "Importer\u{a0}: {what}";
    import_step_file(): "File", "Fichier";
    import_step_columns(): "Columns", "Colonnes";
    import_step_trial(): "Trial", "Essai";
    import_step_run(): "Run", "Importation";
    import_steps(): "Steps", "Étapes";
    import_about():
        "A file with one record a line and the names of the columns in its first line, as spreadsheets save it in CSV, or JSON. At most 32 MiB and 250,000 records. Nothing is imported before you have seen a trial.",
        "Un fichier avec un enregistrement par ligne et les noms des colonnes dans la première, comme les tableurs l’enregistrent en CSV, ou du JSON. Au plus 32\u{a0}Mio et 250\u{202f}000 enregistrements. Rien n’est importé avant que vous ayez vu un essai.";
    import_file(): "CSV or JSON file", "Fichier CSV ou JSON";
    import_upload(): "Read the file", "Lire le fichier";
    import_recent(): "Your imports of the last 24 hours", "Vos imports des dernières 24 heures";
    import_no_file(): "Choose a file.", "Choisissez un fichier.";
    import_wrong_type():
        "This is no CSV or JSON file. In a spreadsheet, save the table as CSV. At most 32 MiB and 250,000 records.",
        "Ce n’est pas un fichier CSV ni JSON. Dans un tableur, enregistrez le tableau en CSV. Au plus 32\u{a0}Mio et 250\u{202f}000 enregistrements.";
    import_too_large():
        "The file is too large. At most 32 MiB and 250,000 records: split it.",
        "Le fichier est trop grand. Au plus 32\u{a0}Mio et 250\u{202f}000 enregistrements\u{a0}: partagez-le.";
    import_read_as(): "Read as", "Lu comme";
    import_delimiter(): "Delimiter", "Séparateur";
    import_tab(): "tab", "tabulation";
    import_records(): "Records", "Enregistrements";
    import_first_records(): "First records of the file", "Premiers enregistrements du fichier";
    import_column(): "Column", "Colonne";
    import_column_number(number): "Column {number}", "Colonne {number}";
    import_example(): "Example", "Exemple";
    import_field(): "Imported as", "Importé comme";
    import_field_of(column): "Imported as: {column}", "Importé comme\u{a0}: {column}";
    import_not_used(): "not used", "non utilisée";
    import_unused(names): "Columns that are not used: {names}.", "Colonnes non utilisées\u{a0}: {names}.";
    import_all_used(): "Every column is used.", "Toutes les colonnes sont utilisées.";
    import_by_name(): "by its name", "par son nom";
    import_by_label(): "by its label", "par son libellé";
    import_by_last_time(): "as last time", "comme la dernière fois";
    import_existing(): "Records that exist", "Enregistrements existants";
    import_mode_create():
        "Create a record for each row",
        "Créer un enregistrement par ligne";
    import_mode_upsert():
        "Change records that exist, create the others",
        "Modifier les enregistrements existants, créer les autres";
    import_key(): "Found by", "Reconnus par";
    import_check(): "Start the trial", "Lancer l’essai";
    import_checking(): "The trial is running. Nothing is changed.", "L’essai est en cours. Rien n’est modifié.";
    import_running(): "The import is running.", "L’importation est en cours.";
    import_progress(done, of): "{done} of {of} records", "{done} enregistrements sur {of}";
    import_reload(): "Show the progress", "Voir l’avancement";
    import_trial_says(): "What the import would do", "Ce que l’importation ferait";
    import_created(): "Created", "Créés";
    import_changed(): "Changed", "Modifiés";
    import_unchanged(): "Already there, unchanged", "Déjà là, inchangés";
    import_refused(): "Refused", "Refusés";
    import_sum(): "Records in the file", "Enregistrements du fichier";
    import_refused_records(): "Refused records", "Enregistrements refusés";
    import_download_refused(): "Download the refused rows", "Télécharger les lignes refusées";
    import_line(): "Line", "Ligne";
    import_reason(): "Reason", "Motif";
    import_leave_out(refused, others):
        "Leave the refused records out ({refused}) and import the others ({others})",
        "Laisser de côté les enregistrements refusés ({refused}) et importer les autres ({others})";
    import_all_or_none():
        "By default all records are imported or none. Correct the refused rows in the file and upload it again, or leave them out.",
        "Par défaut, tous les enregistrements sont importés, ou aucun. Corrigez les lignes refusées dans le fichier et envoyez-le de nouveau, ou laissez-les de côté.";
    import_nothing_to_do(): "All records are there already.", "Tous les enregistrements sont déjà là.";
    import_now(number): "Import {number} records", "Importer {number} enregistrements";
    import_run(): "Import", "Importer";
    import_change_columns(): "Change the columns", "Modifier les colonnes";
    import_is_done(): "The import is done", "L’importation est terminée";
    import_left_out():
        "The refused records were left out. All others are in.",
        "Les enregistrements refusés ont été laissés de côté. Tous les autres sont importés.";
    import_show(): "Show what came in", "Voir ce qui a été importé";
    import_another(): "Import another file", "Importer un autre fichier";
    import_failed(): "Nothing was imported", "Rien n’a été importé";
    import_interrupted():
        "The server was restarted meanwhile. Nothing was imported. Start the trial again.",
        "Le serveur a redémarré entre-temps. Rien n’a été importé. Relancez l’essai.";
    import_was_interrupted(): "The import was interrupted", "L’importation a été interrompue";
    import_goes_on(done, of):
        "{done} of {of} records are done. If you continue, none of them is imported twice. If you delete this import, they stay.",
        "{done} enregistrements sur {of} sont traités. Si vous continuez, aucun n’est importé deux fois. Si vous supprimez cet import, ils restent.";
    import_continue(): "Continue the import", "Continuer l’importation";
    import_discard(): "Delete this import", "Supprimer cet import";

    connect_pbx(): "Connect a PBX", "Connecter un PBX";
    connect_pbx_about():
        "While a phone rings, the PBX asks here who calls. After the call, it records it. These steps are for 3CX.",
        "Quand un téléphone sonne, le PBX demande ici qui appelle. Après l’appel, il l’enregistre. Ces étapes valent pour 3CX.";
    pbx_client(): "1. Create a client for the PBX", "1. Créez un client pour le PBX";
    pbx_client_about():
        "3CX shows its redirect URI under Integrations, CRM. Enter it in the form.",
        "3CX affiche son URI de redirection sous Intégrations, CRM. Entrez-la dans le formulaire.";
    pbx_create_client(): "Create a client", "Créer un client";
    pbx_clients(): "Clients:", "Clients\u{a0}:";
    pbx_template(): "2. Add the template", "2. Ajoutez le modèle";
    pbx_template_about():
        "In 3CX, add the file under Integrations, CRM. Enter client id and secret, then authorize.",
        "Dans 3CX, ajoutez le fichier sous Intégrations, CRM. Entrez l’identifiant et le secret du client, puis autorisez.";
    pbx_download(): "Download the template", "Télécharger le modèle";
    pbx_check(): "3. See that it works", "3. Vérifiez le fonctionnement";
    pbx_authorized(name, when): "{name} was authorized: {when}.", "{name} a été autorisé\u{a0}: {when}.";
    pbx_not_authorized(): "No PBX is authorized yet.", "Aucun PBX n’est encore autorisé.";
    pbx_newest_call(when): "Newest recorded call: {when}.", "Dernier appel enregistré\u{a0}: {when}.";
    pbx_no_call(): "No call is recorded yet.", "Aucun appel n’est encore enregistré.";
    pbx_yeastar():
        "Yeastar P-Series: add its template under Integrations, CRM, Custom, and enter an integration key.",
        "Yeastar série P\u{a0}: ajoutez son modèle sous Integrations, CRM, Custom, et entrez une clé d’intégration.";
    pbx_other():
        "Any other PBX works with an integration key.",
        "Tout autre PBX fonctionne avec une clé d’intégration.";
}

impl Translations {
    /// Why calls go where they go.
    pub fn decided_by(self, reason: &str) -> String {
        match reason {
            "time_span" => self.open(),
            "exception" => self.exception(),
            "inactive" => self.inactive(),
            _ => self.closed(),
        }
    }

    /// The message for what a page did, by the name in the address.
    pub fn done(self, done: &str) -> Option<String> {
        let (english, french) = match done {
            "created" => ("Created.", "Créé."),
            "changed" => ("Saved.", "Enregistré."),
            "merged" => (
                "Saved, together with a change that somebody else made meanwhile.",
                "Enregistré, avec une modification faite entre-temps par quelqu’un d’autre.",
            ),
            "unchanged" => ("Nothing was changed.", "Rien n’a été modifié."),
            "deleted" => ("Deleted.", "Supprimé."),
            "records_merged" => ("Merged.", "Fusionné."),
            "dismissed" => ("The pair is dismissed.", "La paire est écartée."),
            "restored" => ("The pair is restored.", "La paire est rétablie."),
            "deleted_many" => ("Deleted.", "Supprimés."),
            "done" => ("Done.", "C’est fait."),
            "accepted" => ("You are a member now.", "Vous êtes maintenant membre."),
            "declined" => ("The invitation is declined.", "L’invitation est refusée."),
            "in_trash" => ("The workspace is in the trash.", "L’espace de travail est à la corbeille."),
            "revoked" => ("Revoked.", "Révoqué."),
            "signed_in_again" => {
                ("Signed in again. Your text is still here.", "Reconnecté. Votre texte est toujours là.")
            }
            "mailed" => ("A code is on its way by mail.", "Un code est en route par e-mail."),
            _ => return None,
        };
        Some(self.label(Label { english, french }))
    }
}

/// The heading of a section of the navigation.
pub fn section_label(section: Section, words: Translations) -> Option<String> {
    let (english, french) = match section {
        Section::Data | Section::History | Section::Routing => return None,
        Section::Team => ("Team", "Équipe"),
        Section::Integrations => ("Developers", "Développeurs"),
        Section::Workspace => ("Settings", "Paramètres"),
    };
    Some(words.label(Label { english, french }))
}

/// A value of a choice in words. A value without a label is shown as it is.
pub fn choice_label(words: Translations, field: &str, value: &str) -> String {
    words.choice(field, value).unwrap_or_else(|| value.to_owned())
}

/// What a change did to a record.
pub fn verb_label(words: Translations, verb: &str) -> String {
    let (english, french) = match verb {
        "created" => ("Created", "Création"),
        "updated" => ("Changed", "Modification"),
        "deleted" => ("Deleted", "Suppression"),
        "imported" => ("Imported", "Importation"),
        "merged" => ("Merged", "Fusion"),
        other => return choice_label(words, "action", other),
    };
    words.label(Label { english, french })
}

/// The name of a permission within its row of the matrix.
pub fn action_label(words: Translations, action: &PermissionAction) -> String {
    let (english, french) = match action.name {
        "view" => ("see", "voir"),
        "create" => ("create", "créer"),
        "update" => ("change", "modifier"),
        "delete" => ("delete", "supprimer"),
        "invite" => ("invite", "inviter"),
        "manage" => ("manage", "gérer"),
        _ => return words.label(action.can),
    };
    words.label(Label { english, french })
}

/// The heading of a kind of search result.
pub fn search_kind(words: Translations, kind: &str) -> String {
    let (english, french) = match kind {
        "contacts" => ("Contacts", "Contacts"),
        "customers" => ("Customers", "Clients"),
        "phone_calls" => ("Calls", "Appels"),
        "call_queues" => ("Call queues", "Files d’attente"),
        "routing_contacts" => ("Routing contacts", "Contacts de routage"),
        "ctis" => ("CTIs", "CTI"),
        "users" => ("Users", "Utilisateurs"),
        other => return choice_label(words, "kind", other),
    };
    words.label(Label { english, french })
}
