import { spawnSync } from 'node:child_process'
import { expect, test } from 'vitest'

import { hiddenPaths } from './hidden-paths.ts'
import { noClouds } from './ports.ts'
import { isTested } from '../testing/left-out.ts'

test('what the server was told to keep apart is hidden from user code', () => {
  const paths = hiddenPaths(
    {
      secretKeysFile: '/keys/secrets',
      backup: { to: '/backups', keepCount: 7, secretFile: { kind: 'key', path: '/keys/backup' } },
      oldCluster: { kind: 'stores', etcd: '/old/etcd', storage: '/old/blocks' },
    },
    {
      variables: {
        GOOGLE_APPLICATION_CREDENTIALS: '/cloud/google.json',
        KUBECONFIG: '/cloud/one:/cloud/other',
        AWS_ACCESS_KEY_ID: '/no/file',
      },
      secretsDirectory: '/',
    },
    '/var/lib/pachd',
  )
  expect(paths.slice(0, 8)).toEqual([
    '/keys/secrets',
    '/keys/backup',
    '/backups',
    '/old/etcd',
    '/old/blocks',
    '/cloud/google.json',
    '/cloud/one',
    '/cloud/other',
  ])
  expect(paths).toContain('/amazon-secret')
  for (const name of [
    '.aws',
    '.azure',
    '.boto',
    '.config/gcloud',
    '.config/gh',
    '.config/rclone',
    '.docker',
    '.git-credentials',
    '.gnupg',
    '.kube',
    '.mc',
    '.netrc',
    '.npmrc',
    '.pypirc',
    '.s3cfg',
    '.terraform.d',
    '.vault-token',
  ]) {
    expect(paths).toContain(`/var/lib/pachd/${name}`)
  }
  expect(paths).not.toContain('/no/file')
})

test('places that are no files of this machine are not', () => {
  const backup = { to: 's3://backups/pachd', keepCount: 7 }
  const oldCluster = { kind: 'stores', etcd: 'etcd:2379', storage: 'gs://old' } as const
  const paths = hiddenPaths({ backup, oldCluster }, noClouds, '/root')
  expect(paths.filter((path) => !/^\/(?:root|nonexistent)\//.test(path))).toEqual([])
})

/** In no list of users. */
const unknownUser = 43_210

test.runIf(isTested(process.geteuid?.() === 0))(
  'of a user of whom the system knows nothing, no home is hidden',
  () => {
    const program = `
      import { hiddenPaths } from ${JSON.stringify(new URL('hidden-paths.ts', import.meta.url).href)}
      console.log(hiddenPaths({}, { variables: {}, secretsDirectory: '/' }).join())
    `
    const user = [`--reuid=${unknownUser}`, `--regid=${unknownUser}`, '--clear-groups', '--']
    const node = [process.execPath, '--input-type=module', '-e', program]
    const { stdout, stderr } = spawnSync('setpriv', [...user, ...node], {
      encoding: 'utf8',
      env: { PATH: process.env['PATH'] },
    })
    expect(stderr).toBe('')
    expect(stdout).toBe('/amazon-secret,/google-secret,/microsoft-secret,/minio-secret\n')
  },
)
