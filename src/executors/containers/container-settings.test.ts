import { expect, test } from 'vitest'

import { transform } from '../../testing/process-fixture.ts'
import { containerSettings } from './container-settings.ts'
import type { EngineFacts, EngineImage } from './engine.ts'

const image: EngineImage = { id: 'id', environment: [], isForRoot: true, hasHealthcheck: false }
const facts: EngineFacts = {
  title: 'Docker 28.0',
  version: '28.0',
  isPodman: false,
  operatingSystem: 'linux',
  storage: [],
  mapsUsers: false,
  isRootless: false,
  limits: { memory: true, cpu: true, processes: true },
  namespaceGuard: { kind: 'engine' },
}
const files = {
  path: '/slot',
  pfs: '/slot/pfs',
  out: '/slot/pfs/out',
  tmp: '/slot/tmp',
  varTmp: '/slot/var-tmp',
  control: '/slot/control',
  imageFile: '/slot/image',
  datumFile: '/slot/control/datum',
  stdoutFifo: '/slot/control/stdout',
  stderrFifo: '/slot/control/stderr',
  noncesFifo: '/slot/control/nonces',
  answersFifo: '/slot/control/answers',
  datumsFifo: '/slot/control/datums',
  resultsFifo: '/slot/control/results',
  variablesFile: '/slot/control/variables',
}

function hostConfig(
  gpu: number,
  engine: Partial<EngineFacts> = {},
  of: Partial<EngineImage> = {},
): unknown {
  const resources = { cpu: 0.5, memoryBytes: 1024 ** 3, gpu }
  const { options } = containerSettings({
    transform: transform(['true'], { image: 'image', resources }),
    image: { ...image, ...of },
    files,
    facts: { ...facts, ...engine },
    labels: {},
    network: 'host',
    processCountMax: 100,
    secretDirectories: [],
    guardOptions: [],
  })
  return options.HostConfig
}

test('graphics processors are asked for as `docker run --gpus` does', () => {
  expect(hostConfig(2)).toMatchObject({
    DeviceRequests: [{ Driver: '', Count: 2, Capabilities: [['gpu']] }],
  })
  expect(hostConfig(0)).not.toHaveProperty('DeviceRequests')
})

test('an engine that cannot give graphics processors is told of, with what to do', () => {
  const podman = { isPodman: true, title: 'Podman 4.9', version: '4.9.3' }
  expect(() => hostConfig(1, podman)).toThrow(/^resource_spec.gpu is 1, and Podman 4.9 .* update/)
  expect(hostConfig(1, { ...podman, version: '5.2.0' })).toHaveProperty('DeviceRequests')
})

test('limits are in the units of the engines, and only what they can hold is asked for', () => {
  const limits = { NanoCpus: 5e8, Memory: 2 ** 30, MemorySwap: 2 ** 30, PidsLimit: 101 }
  expect(hostConfig(0)).toMatchObject(limits)
  const held = hostConfig(0, { limits: { memory: false, cpu: false, processes: false } })
  for (const name of Object.keys(limits)) expect(held).not.toHaveProperty(name)
})

test('the rights to own files are root’s alone', () => {
  expect(hostConfig(0)).toMatchObject({ CapAdd: expect.arrayContaining(['CHOWN', 'FOWNER']) })
  expect(hostConfig(0, {}, { isForRoot: false })).toMatchObject({ CapAdd: [], CapDrop: ['ALL'] })
})

function settingsOf(engine: Partial<EngineFacts>, pfs: string, target: string): unknown {
  return containerSettings({
    transform: transform(['true'], { image: 'image' }),
    image,
    files: { ...files, pfs },
    facts: { ...facts, ...engine },
    labels: {},
    network: 'host',
    processCountMax: 100,
    secretDirectories: [{ source: '/dev/shm/x', target }],
    guardOptions: [],
  })
}

test('a comma in a path, which Podman cannot mount, is told of with what helps', () => {
  const podman = { isPodman: true, title: 'Podman 4.3' }
  expect(() => settingsOf(podman, '/a,b/pfs', '/key')).toThrow(
    /^Podman 4.3 shows containers no directory with a comma in its path, as \/a,b\/pfs has: move/,
  )
  expect(() => settingsOf(podman, '/a/pfs', '/k,y')).toThrow(/^mount_path \/k,y has a comma/)
  expect(() => settingsOf({}, '/a,b/pfs', '/k,y')).not.toThrow()
})
