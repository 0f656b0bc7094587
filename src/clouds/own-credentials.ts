import { FailedPreconditionError } from '../base/errors.ts'
import type { BucketName, CloudEnvironment } from './bucket.ts'

/** Credentials that somebody brings along, under the names of the variables that hold them elsewhere. */
export interface OwnCredentials {
  readonly kind: BucketName['kind']
  readonly variables: Readonly<Record<string, string>>
}

/** What may come from whoever brings credentials: never where to connect to. */
const taken: Readonly<Record<BucketName['kind'], readonly string[]>> = {
  s3: ['AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY', 'AWS_SESSION_TOKEN', 'AWS_REGION'],
  azure: ['AZURE_STORAGE_ACCOUNT', 'AZURE_STORAGE_KEY', 'AZURE_STORAGE_SAS_TOKEN'],
  gcs: ['GOOGLE_CREDENTIALS'],
}

/** What stays the server's: places. */
const kept = [
  'AWS_ENDPOINT_URL_S3',
  'AWS_ENDPOINT_URL',
  'AWS_REGION',
  'AWS_DEFAULT_REGION',
  'AZURE_STORAGE_ENDPOINT',
  'STORAGE_EMULATOR_HOST',
]

const accountName = /^[a-z0-9]{3,24}$/

/**
 * The server's environment with somebody else's credentials in place of all of its own.
 *
 * @throws {FailedPreconditionError} where these are not whole: nothing of the server's is used for them.
 */
export function withOwnCredentials(
  server: CloudEnvironment,
  { kind, variables: own }: OwnCredentials,
): CloudEnvironment {
  const has = (name: string): boolean => (own[name] ?? '') !== ''
  if (kind === 's3' && !(has('AWS_ACCESS_KEY_ID') && has('AWS_SECRET_ACCESS_KEY'))) {
    throw lacking('AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY')
  }
  if (kind === 'azure') {
    if (!accountName.test(own['AZURE_STORAGE_ACCOUNT'] ?? '')) {
      throw lacking('AZURE_STORAGE_ACCOUNT, the name of an account')
    }
    if (!(has('AZURE_STORAGE_KEY') || has('AZURE_STORAGE_SAS_TOKEN'))) {
      throw lacking('AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN')
    }
  }
  if (kind === 'gcs' && !has('GOOGLE_CREDENTIALS')) {
    throw lacking('GOOGLE_CREDENTIALS, the text of the key file of a service account')
  }
  const variables: Record<string, string | undefined> = {}
  for (const name of kept) variables[name] = server.variables[name]
  for (const name of taken[kind]) if (has(name)) variables[name] = own[name]?.trim()
  const names = taken[kind].filter(has)
  const advice = `see that the secret with the credentials has the right ${listed(names)}, and that they allow it`
  return { variables, secretsDirectory: '/nonexistent', advice }
}

function listed(names: readonly string[]): string {
  return names.join(', ').replace(/, (?=[^,]*$)/, ' and ')
}

/** What is said of a secret that has not what it is named for. */
export function lacking(what: string): FailedPreconditionError {
  return new FailedPreconditionError(`the secret with the credentials lacks ${what}`)
}
