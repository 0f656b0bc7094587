import { expect, test } from 'vitest'
import { GcsBucket, openGcs, serviceAccountKey } from './gcs-bucket.ts'
import { withOwnCredentials } from './own-credentials.ts'

const server = {
  variables: {
    AWS_ACCESS_KEY_ID: 'server',
    AWS_SECRET_ACCESS_KEY: 'server',
    AWS_ENDPOINT_URL: 'http://store',
    AZURE_STORAGE_CONNECTION_STRING: 'server',
    AZURE_STORAGE_KEY: 'server',
  },
  secretsDirectory: '/',
}

test('nothing of the server but where to connect to stays, and nothing else is taken', () => {
  const variables = {
    AWS_ACCESS_KEY_ID: 'own',
    AWS_SECRET_ACCESS_KEY: 'own\n',
    AWS_ENDPOINT_URL: 'http://elsewhere',
    HOME: '/root',
  }
  const { variables: found, secretsDirectory } = withOwnCredentials(server, {
    kind: 's3',
    variables,
  })
  expect(JSON.parse(JSON.stringify(found))).toEqual({
    AWS_ACCESS_KEY_ID: 'own',
    AWS_SECRET_ACCESS_KEY: 'own',
    AWS_ENDPOINT_URL: 'http://store',
  })
  expect(secretsDirectory).not.toBe('/')
})

test.each([
  ['s3', { AWS_ACCESS_KEY_ID: 'own' }, 'lacks AWS_ACCESS_KEY_ID or'],
  ['s3', { AWS_SECRET_ACCESS_KEY: 'own' }, 'lacks AWS_ACCESS_KEY_ID or'],
  ['azure', { AZURE_STORAGE_KEY: 'own' }, 'lacks AZURE_STORAGE_ACCOUNT'],
  ['azure', { AZURE_STORAGE_ACCOUNT: 'a/b#' }, 'lacks AZURE_STORAGE_ACCOUNT'],
  ['gcs', { GOOGLE_APPLICATION_CREDENTIALS: '/etc/key' }, 'lacks GOOGLE_CREDENTIALS'],
  ['azure', { AZURE_STORAGE_ACCOUNT: 'account' }, 'lacks AZURE_STORAGE_KEY or'],
] as const)('what is not whole is refused: %s %j', (kind, variables, text) => {
  expect(() => withOwnCredentials(server, { kind, variables })).toThrow(text)
})

test('who brings credentials that are refused is told of these, and not of what the server has', async () => {
  const key = { type: 'service_account', client_email: 'ada@example.com', private_key: 'no key' }
  const environment = withOwnCredentials(server, {
    kind: 'gcs',
    variables: { GOOGLE_CREDENTIALS: JSON.stringify(key) },
  })
  const bucket = new GcsBucket(await openGcs(environment), 'bucket', environment.advice)
  await expect(bucket.find('a', new AbortController().signal)).rejects.toThrow(
    'cannot read gs://bucket/a: the key of the credentials cannot be used; see that the secret with the credentials has the right GOOGLE_CREDENTIALS, and that',
  )
  const { advice } = withOwnCredentials(server, {
    kind: 's3',
    variables: { AWS_ACCESS_KEY_ID: 'own', AWS_SECRET_ACCESS_KEY: 'own' },
  })
  expect(advice).toContain('the right AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that')
})

test('of Google, the key of a service account is taken, and nothing that leads elsewhere', () => {
  const key = {
    type: 'service_account',
    client_email: 'ada@example.com',
    private_key: 'pem',
    token_uri: 'http://elsewhere',
    universe_domain: 'elsewhere',
  }
  const { client_email, private_key } = key
  expect(serviceAccountKey(JSON.stringify(key))).toEqual({ client_email, private_key })
  for (const text of ['{"type": "external_account", "secret": 1}', 'secret', 'null', '{}']) {
    expect(() => serviceAccountKey(text)).toThrow(/^GOOGLE_CREDENTIALS is not(?!.*secret)/)
  }
})
