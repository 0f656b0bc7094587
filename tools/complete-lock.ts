// Completes package-lock.json with the platform packages that the registry at hand did not serve.
//
// npm leaves out of the lock file an optional package that it could not look up, and then `npm ci` refuses the file
// as incomplete. The parent pins the version, and the name says which platform it is for, so nothing is guessed but
// the integrity, which stays out. Run it after every `npm install` that changes the lock file.

import { readFileSync, writeFileSync } from 'node:fs'

interface Entry {
  readonly version?: string
  readonly os?: readonly string[]
  readonly cpu?: readonly string[]
  readonly libc?: readonly string[]
  readonly dev?: boolean
  readonly optional?: boolean
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

interface Lock {
  packages: Record<string, Entry>
}

const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32']
const processors = ['arm64', 'arm', 'ia32', 'ppc64', 'riscv64', 's390x', 'x64']

function platformEntry(name: string, version: string, dev: boolean): Entry | undefined {
  const os = systems.find((system) => name.includes(system))
  const cpu = processors.find((processor) => name.includes(`-${processor}`))
  if (os === undefined || cpu === undefined) return undefined
  const libc = name.endsWith('musl') ? 'musl' : name.endsWith('-gnu') ? 'glibc' : undefined
  return {
    version,
    cpu: [cpu],
    ...(dev ? { dev } : {}),
    ...(libc === undefined ? {} : { libc: [libc] }),
    optional: true,
    os: [os],
  }
}

const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock
let addedCount = 0
for (const [path, { dev, optionalDependencies }] of Object.entries(lock.packages)) {
  for (const [name, version] of Object.entries(optionalDependencies ?? {})) {
    if (`node_modules/${name}` in lock.packages) continue
    if (`${path}/node_modules/${name}` in lock.packages) continue
    const entry = platformEntry(name, version, dev === true)
    if (entry === undefined) throw new Error(`${path} wants ${name}, for no known platform`)
    lock.packages[`node_modules/${name}`] = entry
    addedCount += 1
  }
}
if (addedCount > 0) {
  const sorted = Object.entries(lock.packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'))
  lock.packages = Object.fromEntries(sorted)
  writeFileSync('package-lock.json', `${JSON.stringify(lock, undefined, 2)}\n`)
}
console.log(`${addedCount} platform packages added`)
