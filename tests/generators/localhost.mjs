// Browsers resolve *.localhost to this machine. Node asks the system, which may not.
import dns from "node:dns";
import { syncBuiltinESMExports } from "node:module";

const lookup = dns.lookup;
dns.lookup = (host, ...rest) => lookup(/(^|\.)localhost$/.test(host) ? "127.0.0.1" : host, ...rest);
syncBuiltinESMExports();
