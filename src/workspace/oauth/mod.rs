//! OAuth 2.0: tokens of this workspace for programs, approved by a user or for the program itself.
//!
//! `clients.rs` has the programs, `grants.rs` their grants, and `token_endpoint.rs` the endpoints for tokens. Users
//! approve on the page `pages/authorize.rs` and sign in on the page `pages/sign_in.rs`.
//!
//! An access token names its grant. Each request looks up the grant in the workspace's file, like an integration key. So
//! one transaction of one file uses a code and writes its tokens, and a revocation takes effect at once.
//!
//! The requirements, and the test of each (in `clients`, `token_endpoint`, `authorize`, `sign_in` or `every_route`).
//! `tests/it/approving.rs` runs a browser. `tests/it/oauth_clients.rs` and `tests/oauth_clients.sh` run published OAuth
//! clients.
//!
//! | requirement | test |
//! |---|---|
//! | RFC 6749, 2.3.1: Basic, form-encoded inside; not two ways at once (2.3) | `a_client_proves_who_it_is_by_basic_or_in_the_body_and_not_by_both` |
//! | 3.1, 3.2: no parameter twice; a parameter without a value counts as absent | `what_is_no_request_for_a_token…`, `nobody_is_sent_where…` |
//! | 3.1.2: redirection URIs absolute, without a fragment | `clients::what_is_not_as_it_should_be_is_refused` |
//! | 3.1.2.4, 4.1.2.1: no redirect to an unregistered URI, or for an unknown client | `nobody_is_sent_where_the_program_has_not_registered` |
//! | 3.3, 5.1: the response names the granted scope | `a_code_is_exchanged_once…`, `a_client_asks_for_itself_within_its_scopes` |
//! | 4.1.2: a code is short-lived, bound to client and URI, used once; a second use revokes | `a_code_is_for_its_client…`, `a_code_is_exchanged_once…`, at once `of_many_who_exchange_one_code…` |
//! | 4.1.2.1: errors and `state` go back to the program | `the_program_is_told_what_is_wrong_with_what_it_asks`, `a_person_denies` |
//! | 4.4: client credentials only for confidential clients, without a refresh token | `a_client_asks_for_itself_within_its_scopes` |
//! | 5.1: `Cache-Control: no-store` | `refused()` in each test of `token_endpoint`, `a_code_is_exchanged_once…` |
//! | 5.2: the error codes, 401 with `WWW-Authenticate` where Basic was tried | `what_is_no_request_for_a_token…`, `a_client_proves…` |
//! | 6: a refresh token is bound to its client; its scope never grows | `a_refresh_token_gives_the_next_pair_once…` |
//! | 10.3, 10.4: tokens cannot be guessed, and are stored as digests | `no_secret_and_no_token_is_kept_as_it_is` |
//! | 10.12: forms of other sites cannot approve or sign in | `a_form_of_another_site_or_of_nobody_approves_nothing`, `nobody_is_signed_in_by_a_form…` |
//! | 10.13: no page can be framed | `a_person_signs_in_approves…`, in a browser `no_page_of_another_origin_has_ours_in_a_frame` |
//! | 10.14: foreign text is escaped | `whatever_is_shown_is_text_and_whatever_is_sent_back_one_line` |
//! | RFC 7009, 2: a client revokes only its own tokens; unknown tokens get 200 | `either_token_is_given_back_and_ends_its_grant` |
//! | RFC 7636, 4.4, 4.6: the verifier matches the challenge; only `S256` (RFC 9700, 2.1.1) | `a_challenge_wants_its_verifier…`, `the_program_is_told…` |
//! | RFC 7662, 2.1, 2.2: only for authenticated clients; `active: false` has no other fields | `a_client_looks_into_its_own_tokens_alone` |
//! | RFC 8414, 3: the metadata; RFC 9207, 2: `iss` in every redirect of the page | `programs_find_out…`, `a_person_signs_in_approves…` |
//! | RFC 9700, 2.1: URIs are compared exactly | `nobody_is_sent_where…` |
//! | RFC 9700, 2.1.1: public clients use PKCE; a verifier without a challenge is rejected | `the_program_is_told…`, `a_challenge_wants…` |
//! | RFC 9700, 2.2.2, 4.14: refresh tokens rotate, reuse ends the family | `a_refresh_token_gives_the_next_pair_once…` |
//! | RFC 9700, 2.4: no password grant; 2.1.2: no implicit grant | `what_is_no_request…`, `the_program_is_told…` |
//! | RFC 9700, 4.11: no open redirect | `only_a_path_of_this_host_is_gone_on_to` |
//! | the contract: limited to the user's permissions and to the client's customer | `a_token_does_no_more_than_the_person_may…`, `every_route::a_customers_oauth_token…` |

mod client_view;
pub mod clients;
pub mod grants;
pub mod protocol;
mod scope_catalog;
pub mod token_endpoint;
