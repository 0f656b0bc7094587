import { FailedPreconditionError } from '../../base/errors.ts'
import { shownSource } from '../../base/source-urls.ts'
import { lacking } from '../../clouds/own-credentials.ts'
import type { HttpHeaders } from './http-client.ts'

/**
 * What to send to the host of a URL, of credentials that are brought along: `HTTP_TOKEN`, or `HTTP_USER` and
 * `HTTP_PASSWORD`. Nothing without any.
 *
 * @throws {FailedPreconditionError} where these are not whole, or others on the way could read them.
 */
export function httpAuthorization(
  credentials: Readonly<Record<string, string>> | undefined,
  url: URL,
): HttpHeaders {
  if (credentials === undefined) return {}
  if (!isPrivate(url) && credentials['HTTP_IN_CLEAR']?.trim() !== 'yes') throw readable(url)
  const [token = '', user = '', password = ''] = ['HTTP_TOKEN', 'HTTP_USER', 'HTTP_PASSWORD'].map(
    (name) => credentials[name]?.trim(),
  )
  if (token === '' && (user === '' || password === '')) {
    throw lacking('HTTP_TOKEN, or HTTP_USER and HTTP_PASSWORD')
  }
  if (token === '') {
    return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
  }
  if (/^[\x21-\x7e]+$/.test(token)) return { authorization: `Bearer ${token}` }
  throw new FailedPreconditionError(
    'HTTP_TOKEN of the secret with the credentials is no token: it has blanks, or characters that are not ASCII',
  )
}

/** Whether nobody between here and there can read what is sent. */
function isPrivate({ protocol, hostname }: URL): boolean {
  return protocol === 'https:' || /^(?:localhost|127(?:\.\d+){3}|\[::1\])$/.test(hostname)
}

function readable(url: URL): FailedPreconditionError {
  return new FailedPreconditionError(
    `cannot fetch ${shownSource(url.href)}: the secret would go there in the clear, for all on the way to read; write https://, or let whoever owns the secret add the entry HTTP_IN_CLEAR with "yes" to it`,
  )
}
