//! The texts of the central pages.

use crate::pages::translations::{Translations, words};
use crate::values::Language;

words! {
    workspaces(): "Workspaces", "Espaces de travail";
    new_workspace(): "New workspace", "Nouvel espace de travail";
    workspaces_about():
        "Each workspace has its own users, data and address.",
        "Chaque espace de travail a ses propres utilisateurs, données et adresse.";
    no_workspace(): "You are not in a workspace yet.", "Vous n’êtes encore dans aucun espace de travail.";
    no_workspace_about():
        "Create one, or ask a colleague to invite you. The invitation then appears here.",
        "Créez-en un, ou demandez une invitation à un collègue\u{a0}: elle apparaîtra ici.";
    open_workspace(): "Open", "Ouvrir";
    workspace_details(): "Details", "Détails";
    workspace_active(): "active", "actif";
    workspace_suspended(): "suspended", "suspendu";
    workspace_owner(): "owner", "propriétaire";
    workspace_role(): "Role", "Rôle";
    workspace_state(): "State", "État";
    workspace_name(): "Name", "Nom";
    workspace_address(): "Address", "Adresse";
    created_on(): "Created", "Création";
    all_of_them(): "All workspaces", "Tous les espaces de travail";

    invitations_to_you(): "Invitations", "Invitations";
    invited_by(inviter, role): "{inviter} invites you as {role}.", "{inviter} vous invite avec le rôle {role}.";
    invitation_until(when): "Valid until {when}.", "Valable jusqu’au {when}.";
    accept(): "Accept", "Accepter";
    decline(): "Decline", "Refuser";
    accept_invitation(): "Accept the invitation?", "Accepter l’invitation\u{a0}?";
    accept_about(): "You become a member of the workspace.", "Vous devenez membre de l’espace de travail.";
    decline_invitation(): "Decline the invitation?", "Refuser l’invitation\u{a0}?";
    decline_about(): "You can be invited again.", "On peut vous inviter à nouveau.";

    rename(): "Rename", "Renommer";
    hand_over(): "Hand over", "Céder";
    hand_over_workspace(name): "Hand over {name}", "Céder {name}";
    hand_over_about():
        "The new owner becomes an admin. You stay a member, but only the new owner can rename, hand over or delete the workspace.",
        "Le nouveau propriétaire devient administrateur. Vous restez membre, mais lui seul pourra renommer, céder ou supprimer l’espace de travail.";
    export_workspace(): "Export as a file", "Exporter en fichier";
    export_workspace_about():
        "The file contains all data of the workspace. Another server can import it.",
        "Le fichier contient toutes les données de l’espace de travail. Un autre serveur peut l’importer.";
    members(): "Members", "Membres";
    all_members(): "All members", "Tous les membres";
    only_owner(): "Only the owner can change the workspace.", "Seul le propriétaire peut modifier l’espace de travail.";
    to_trash(): "Move to the trash", "Mettre à la corbeille";
    trash_workspace(name): "Move {name} to the trash?", "Mettre {name} à la corbeille\u{a0}?";
    trash_about(subdomain, days):
        "Nobody can open the workspace any more. For {days} days, an operator of the server can restore it. Type “{subdomain}” to confirm.",
        "Plus personne ne pourra ouvrir l’espace de travail. Pendant {days} jours, un opérateur du serveur peut le restaurer. Tapez «\u{a0}{subdomain}\u{a0}» pour confirmer.";
    hand_over_or_end(): "Hand over or delete", "Céder ou supprimer";
    security(): "Security", "Sécurité";
    browser_of_session(browser, system): "{browser} on {system}", "{browser} sur {system}";

    profile(): "Profile", "Profil";
    change_name(): "Change your name", "Modifier votre nom";
    change_email(): "Change your email address", "Modifier votre adresse e-mail";
    change_email_about():
        "We mail a code to the new address. The change takes effect once you enter it.",
        "Un code est envoyé à la nouvelle adresse. Le changement prend effet quand vous l’entrez.";
    change_password(): "Change your password", "Modifier votre mot de passe";
    change_password_about():
        "All your other sessions and tokens end.",
        "Toutes vos autres sessions et tous vos jetons prennent fin.";
    change(): "Change", "Modifier";
    address_is_confirmed(): "confirmed", "confirmée";
    address_is_not_confirmed(): "not confirmed", "non confirmée";
    address_pending(email): "A code was mailed to {email}.", "Un code a été envoyé à {email}.";
    enter_code(): "Enter the code", "Entrer le code";
    enter_code_about():
        "The code is in the mail to the new address.",
        "Le code est dans le message envoyé à la nouvelle adresse.";
    send_code_again(): "Send another code", "Envoyer un autre code";
    send_code_about(): "An earlier code stops working.", "Un code précédent ne sera plus valable.";
    is_on(): "on", "actif";
    is_off(): "off", "inactif";
    set_up(): "Set up", "Configurer";
    manage(): "Manage", "Gérer";
    sessions_and_tokens(): "Sessions and tokens", "Sessions et jetons";
    sessions_about():
        "A session begins when you sign in. A token lets a program act for you.",
        "Une session commence quand vous vous connectez. Un jeton permet à un programme d’agir pour vous.";
    this_session(): "this session", "cette session";
    session(): "session", "session";
    program(): "token of a program", "jeton d’un programme";
    own_account_place(): "this account", "ce compte";
    last_used(): "Last used", "Dernier usage";
    now(): "now", "maintenant";
    never(): "never", "jamais";
    expires(): "Expires", "Expiration";
    revoke(): "Revoke", "Révoquer";
    revoke_token(label): "Revoke “{label}”?", "Révoquer «\u{a0}{label}\u{a0}»\u{a0}?";
    identity_provider_about(url):
        "Register this redirect URL at your provider: {url}. The secret is stored encrypted and never shown. Leave it empty to keep the stored one.",
        "Enregistrez cette URL de redirection chez votre fournisseur\u{a0}: {url}. Le secret est conservé chiffré et jamais affiché. Laissez vide pour garder celui qui est enregistré.";
    no_provider_yet():
        "People can sign in with the accounts of your organization.",
        "Les personnes peuvent se connecter avec les comptes de votre organisation.";
    provider_is(name): "People can sign in with {name}.", "Les personnes peuvent se connecter avec {name}.";
    remove_provider(name): "Remove {name}", "Retirer {name}";
    remove_provider_about():
        "People can no longer sign in with it. Their sessions last to their end.",
        "Plus personne ne pourra se connecter par ce moyen. Les sessions en cours vont jusqu’à leur fin.";
    allow_provider(name):
        "Identity provider of {name}",
        "Fournisseur d’identité de {name}";
    allow_provider_about():
        "Name the domains of the workspace’s email addresses. Its own provider may then sign in everybody with such an address, so make sure that the domains belong to the workspace. Without domains, no provider is allowed.",
        "Indiquez les domaines des adresses e-mail de l’espace de travail. Son propre fournisseur pourra alors connecter toute personne ayant une telle adresse\u{a0}: assurez-vous que ces domaines lui appartiennent. Sans domaine, aucun fournisseur n’est autorisé.";
    not_connected(): "Not connected", "Non connecté";
    remove_identity(provider):
        "Remove {provider} from your account",
        "Retirer {provider} de votre compte";
    remove_identity_about():
        "You can no longer sign in with it. Without a password, ask for a new one on the sign-in page first.",
        "Vous ne pourrez plus vous connecter par ce moyen. Sans mot de passe, demandez-en d’abord un nouveau sur la page de connexion.";
    revoke_about():
        "The person or program that uses it is signed out at once. All tokens that were switched from it end, too.",
        "Qui l’utilise est déconnecté aussitôt. Les jetons qui en sont issus aussi.";
    revoke_others(): "Revoke all others", "Révoquer tous les autres";
    revoke_others_about():
        "All your sessions and tokens end, except this one.",
        "Toutes vos sessions et tous vos jetons prennent fin, sauf cette session.";
    new_token(): "New token", "Nouveau jeton";
    new_token_about():
        "For a program that acts for you. The token is shown once.",
        "Pour un programme qui agit pour vous. Le jeton n’est affiché qu’une fois.";
    days(number): "{number} days", "{number} jours";
    one_day(): "1 day", "1 jour";
    one_year(): "1 year", "1 an";
    all_tokens(): "All sessions and tokens", "Toutes les sessions et tous les jetons";
    programs_about():
        "Programs that you approved act for you in one workspace. You see and end them there, under “About me”.",
        "Les applications que vous avez acceptées agissent pour vous dans un espace de travail. Vous les y voyez et les y arrêtez, sous «\u{a0}Mon profil\u{a0}».";
    delete_account(): "Delete your account", "Supprimer votre compte";
    delete_account_about():
        "You lose access to all workspaces. This cannot be undone. Hand over or delete the workspaces that you own first.",
        "Vous perdez l’accès à tous les espaces de travail. Cette action est définitive. Cédez ou supprimez d’abord les espaces dont vous êtes propriétaire.";
    wrong_password(): "The current password is wrong.", "Le mot de passe actuel est faux.";
    operator(): "Operator of this server", "Opérateur de ce serveur";

    instance(): "Instance", "Instance";
    instance_about():
        "This server and what it holds.",
        "Ce serveur et ce qu’il contient.";
    reset_second_factor(): "Remove the second factor?", "Retirer le second facteur\u{a0}?";
    reset_second_factor_about():
        "The person then signs in with the password alone. Do this only if you know that the person asks for it.",
        "La personne se connecte alors avec son seul mot de passe. Ne le faites que si vous savez que la demande vient d’elle.";
    remove(): "Remove", "Retirer";

    backups(): "Backups", "Sauvegardes";
    back_up_now(): "Back up now", "Sauvegarder maintenant";
    back_up_title(): "Back up the instance?", "Sauvegarder l’instance\u{a0}?";
    back_up_about():
        "Everything is copied and verified in the background. No older backup is deleted.",
        "Tout est copié et vérifié en arrière-plan. Aucune sauvegarde antérieure n’est supprimée.";
    verify_now(): "Verify now", "Vérifier maintenant";
    verify_title(): "Verify the backup?", "Vérifier la sauvegarde\u{a0}?";
    verify_about():
        "Each file is unpacked, compared with its checksum and checked by SQLite, in the background.",
        "Chaque fichier est décompressé, comparé à sa somme de contrôle et vérifié par SQLite, en arrière-plan.";
    newest_backup(age): "The newest good backup is {age} old.", "La dernière bonne sauvegarde remonte à {age}.";
    backup_too_old(age):
        "The newest good backup is {age} old. Make one every day.",
        "La dernière bonne sauvegarde remonte à {age}. Faites-en une chaque jour.";
    no_good_backup():
        "There is no good backup of everything.",
        "Il n’y a aucune bonne sauvegarde de l’ensemble.";
    under_an_hour(): "less than an hour", "moins d’une heure";
    one_hour(): "1 hour", "1 heure";
    number_of_hours(number): "{number} hours", "{number} heures";
    backup_running(): "A backup is being taken.", "Une sauvegarde est en cours.";
    verification_running(name): "{name} is being verified.", "{name} est en cours de vérification.";
    backup_done(name): "The backup {name} is taken and verified.", "La sauvegarde {name} est prise et vérifiée.";
    verification_done(name): "Every file of {name} is good.", "Tous les fichiers de {name} sont bons.";
    backup_failed(problem): "The backup failed: {problem}", "La sauvegarde a échoué\u{a0}: {problem}";
    verification_failed(name, problem):
        "The verification of {name} failed: {problem}",
        "La vérification de {name} a échoué\u{a0}: {problem}";
    progress(): "Progress", "Avancement";
    workspaces_done(done, of): "{done} of {of} workspaces", "{done} espaces de travail sur {of}";
    files_done(done, of): "{done} of {of} files", "{done} fichiers sur {of}";
    no_backup(): "No backup yet.", "Aucune sauvegarde.";
    no_backup_about():
        "A backup has every file of this server, and requests go on meanwhile.",
        "Une sauvegarde contient tous les fichiers de ce serveur, qui reste en service pendant ce temps.";
    backup_taken(): "Taken", "Prise";
    backup_content(): "Content", "Contenu";
    verified_when_taken(): "Verified when it was taken.", "Vérifiée à la prise.";
    verified_again(when): "Verified again {when}.", "Vérifiée de nouveau le {when}.";
    backup_good(): "good", "bonne";
    backup_incomplete(): "incomplete", "incomplète";
    backup_damaged(): "damaged", "endommagée";
    backup_lacks(names): "Missing: {names}", "Manque\u{a0}: {names}";
    backup_of(workspace): "only {workspace}", "{workspace} seulement";
    everything_in(number): "everything, {number} workspaces", "tout, {number} espaces de travail";
    everything_in_one(): "everything, 1 workspace", "tout, 1 espace de travail";
    backups_in(folder): "In {folder} on the server.", "Dans {folder} sur le serveur.";
    backups_copied_to(place): "Copies, encrypted, in {place}.", "Copies chiffrées dans {place}.";
    last_backup_failed(problem): "The last backup failed: {problem}", "La dernière sauvegarde a échoué\u{a0}: {problem}";
    restore(): "Restore", "Restaurer";
    restore_about():
        "A backup is restored by a command on the server, not by a page.",
        "Une sauvegarde se restaure par une commande sur le serveur, non par une page.";
    restore_one(): "One workspace, while the server runs:", "Un espace de travail, pendant que le serveur tourne\u{a0}:";
    restore_all(): "Everything, into a new folder:", "Tout, dans un nouveau dossier\u{a0}:";
    subdomain_to_type(): "SUBDOMAIN", "SOUS-DOMAINE";
    folder_to_type(): "NEW-FOLDER", "NOUVEAU-DOSSIER";

    findings(): "Findings", "Constats";
    check_now(): "Check now", "Vérifier maintenant";
    check_title(): "Check the instance?", "Vérifier l’instance\u{a0}?";
    check_about():
        "Each file is read and checked in the background. Requests go on meanwhile.",
        "Chaque fichier est lu et vérifié en arrière-plan. Le serveur reste en service pendant ce temps.";
    check_running(): "The instance is being checked.", "L’instance est en cours de vérification.";
    check_failed(problem): "The check failed: {problem}", "La vérification a échoué\u{a0}: {problem}";
    never_checked(): "The instance was not checked yet.", "L’instance n’a pas encore été vérifiée.";
    check_found_nothing(age):
        "The last check was {age} ago. It found nothing.",
        "La dernière vérification remonte à {age}. Elle n’a rien trouvé.";
    checked_too_long_ago(age):
        "The last check was {age} ago. It found nothing. Check the instance every day.",
        "La dernière vérification remonte à {age}. Elle n’a rien trouvé. Vérifiez l’instance chaque jour.";
    check_found_one(age):
        "The last check was {age} ago. It found 1 problem.",
        "La dernière vérification remonte à {age}. Elle a trouvé 1 problème.";
    check_found_some(age, number):
        "The last check was {age} ago. It found {number} problems.",
        "La dernière vérification remonte à {age}. Elle a trouvé {number} problèmes.";
    found_what(): "What", "Quoi";
    found_problem(): "Problem", "Problème";
    found_remedy(): "Remedy", "Remède";
    central_file(): "Central file", "Fichier central";
    fix(): "Fix", "Réparer";
    fix_title(): "Fix this?", "Réparer\u{a0}?";
    fix_about():
        "The server does what cx-engine doctor --fix does.",
        "Le serveur fait ce que fait cx-engine doctor --fix.";

    last_hour(): "The last hour, minute by minute.", "La dernière heure, minute par minute.";
    last_hour_empty():
        "The first minute is not over yet.",
        "La première minute n’est pas encore écoulée.";
    metrics_are_off():
        "Requests and waits are not counted: the setting “metrics” is off.",
        "Les requêtes et les attentes ne sont pas comptées\u{a0}: le réglage «\u{a0}metrics\u{a0}» est désactivé.";
    requests_chart(): "Requests", "Requêtes";
    requests_sentence(all, failed):
        "{all} requests, {failed} with an error of the server",
        "{all} requêtes, dont {failed} avec une erreur du serveur";
    other_requests(): "other requests", "autres requêtes";
    server_errors(): "errors of the server (5xx)", "erreurs du serveur (5xx)";
    waits_chart(): "Mean wait", "Attente moyenne";
    longest_mean(value): "at most {value}, mean of a minute", "au plus {value}, en moyenne sur une minute";
    no_waits(): "no request waited", "aucune requête n’a attendu";
    open_chart(): "Open workspaces", "Espaces de travail ouverts";
    memory_chart(): "Memory", "Mémoire";
    now_and_most(now, most): "{now} now, at most {most}", "{now} maintenant, au plus {most}";
    minute(): "Minute", "Minute";
    milliseconds(value): "{value} ms", "{value} ms";
}
