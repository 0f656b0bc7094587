import type { OutgoingHttpHeaders } from 'node:http'

/**
 * What every answer says. Whatever a repo holds, a browser runs none of it: no scripts, and no pages of
 * others that read or frame what is here. Who may see it can change, so that no cache shares it, and
 * each asks again.
 */
export const commonHeaders: OutgoingHttpHeaders = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'private, no-cache',
}

/** For files: shown, if at all, as by somebody who is nobody, in a sandbox without scripts and forms. */
export const fileSecurityPolicy =
  "sandbox; default-src 'none'; img-src 'self' data:; media-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

/** For our own pages, whose only style is the one with this hash. */
export function pageSecurityPolicy(styleHash: string): string {
  return `default-src 'none'; style-src '${styleHash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
}

/**
 * How a browser is to take a file: stored under its name or, `inline`, shown. By RFC 6266; as in 1.5 for
 * names that header fields can hold.
 */
export function contentDisposition(kind: 'attachment' | 'inline', name: string): string {
  if (/^[\u0020-\u007e]*$/.test(name) && !/["\\%]/.test(name)) return `${kind}; filename="${name}"`
  const plain = name.replaceAll(/[^\u0020-\u007e]|["\\%]/gu, '_')
  return `${kind}; filename="${plain}"; filename*=UTF-8''${extendedValue(name)}`
}

/** By RFC 8187. */
function extendedValue(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}
