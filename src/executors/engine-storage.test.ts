import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'

import { engineStorage, placesOf } from './engine-storage.ts'

let system = ''

beforeEach(() => {
  system = mkdtempSync(join(tmpdir(), 'pachyderm-storage-'))
  for (const name of ['etc/containers', 'etc/docker', 'home/.config/docker']) {
    mkdirSync(join(system, name), { recursive: true })
  }
})

afterEach(() => {
  rmSync(system, { recursive: true, force: true })
})

test('engines keep containers in the usual places, and in those that their settings name', () => {
  writeFileSync(
    join(system, 'etc/containers/storage.conf'),
    [
      '[storage]',
      '# graphroot = "/not/this"',
      'graphroot = "/graph"',
      "runroot='/state'",
      'rootless_storage_path = "$HOME/graph"',
    ].join('\n'),
  )
  writeFileSync(join(system, 'own.conf'), 'graphroot = "/own"\n')
  writeFileSync(join(system, 'etc/docker/daemon.json'), '{"data-root": "/docker", "debug": true}')
  writeFileSync(join(system, 'home/.config/docker/daemon.json'), '{broken')
  const home = join(system, 'home')
  const environment = { HOME: home, CONTAINERS_STORAGE_CONF: join(system, 'own.conf') }
  expect(engineStorage(environment, system)).toEqual([
    '/var/lib/docker',
    '/var/lib/containers',
    '/var/lib/containerd',
    '/var/snap/docker',
    join(home, '.local/share/docker'),
    join(home, '.local/share/containers'),
    '/own',
    '/graph',
    '/state',
    '/docker',
  ])
})

test('what cannot be a place of an engine is none', () => {
  expect(placesOf(['/', 'relative', undefined, 7, '/a', '/a'])).toEqual(['/a'])
})
