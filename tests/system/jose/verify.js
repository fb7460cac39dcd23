// A service in Node that knows its issuer's address alone: prints the claims of the token it is given, or refuses it.
import { webcrypto } from "node:crypto";
import { createRemoteJWKSet, jwtVerify } from "jose";

globalThis.crypto ??= webcrypto; // Debian 12 has Node 18, where it is not global yet

const [issuer, audience, token] = process.argv.slice(2);
const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
if (metadata.issuer !== issuer) throw new Error("metadata of another issuer");

try {
  const keys = createRemoteJWKSet(new URL(metadata.jwks_uri));
  const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer, audience, typ: "at+jwt" });
  console.log(JSON.stringify({ algorithm: protectedHeader.alg, claims: payload }));
} catch (error) {
  console.log(JSON.stringify({ refused: error.code }));
}
