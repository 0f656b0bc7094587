import { FailedPreconditionError } from '../../base/errors.ts'
import { lacking } from '../../clouds/own-credentials.ts'
import type { HttpHeaders } from './http-client.ts'

/**
 * What to send to the hosts of a command's URLs, of credentials that are brought along: `HTTP_TOKEN`, or
 * `HTTP_USER` and `HTTP_PASSWORD`. Nothing without any.
 *
 * @throws {FailedPreconditionError} where these are not whole.
 */
export function httpAuthorization(
  credentials: Readonly<Record<string, string>> | undefined,
): HttpHeaders {
  if (credentials === undefined) return {}
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
