import { expect, test } from 'vitest'
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
  ['azure', { AZURE_STORAGE_ACCOUNT: 'account' }, 'lacks AZURE_STORAGE_KEY or'],
] as const)('what is not whole is refused: %s %j', (kind, variables, text) => {
  expect(() => withOwnCredentials(server, { kind, variables })).toThrow(text)
})
