import { execFile, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

import { SystemClock } from '../base/clock.ts'
import { peersRequired } from './left-out.ts'

const execute = promisify(execFile)
const clock = new SystemClock()
const startMsMax = 240_000

/** How an image is made: a shell script in an empty directory, then changes as a Dockerfile has them. */
export interface TestImage {
  readonly script: string
  readonly changes?: readonly string[]
}

/** A container engine of a test's own. Disposing removes its containers and ends it. */
export interface TestEngine extends AsyncDisposable {
  /** As `Runs In` begins. */
  readonly title: string
  readonly socketPath: string
  /** Makes an image without a registry. */
  makeImage(name: string, image: TestImage): Promise<void>
  /** Ids of the containers that there are. */
  containers(): Promise<readonly string[]>
  /** All that it says of a container. */
  inspect(id: string): Promise<string>
}

/** Whether root may start these programs here; true where no test may be left out. */
export function canHave(...programs: readonly string[]): boolean {
  if (peersRequired) return true
  const places = (process.env['PATH'] ?? '').split(':')
  return (
    process.geteuid?.() === 0 &&
    programs.every((program) => places.some((place) => existsSync(join(place, program))))
  )
}

/**
 * Gives a tar archive of an image's files, and flags for what is to change, to an engine that imports it.
 * The files of a script are made once for all engines of a run of tests.
 */
export async function withArchive(
  { script, changes = [] }: TestImage,
  take: (archive: string, changes: readonly string[]) => Promise<void>,
): Promise<void> {
  const archive = join(tmpdir(), `image-${createHash('sha256').update(script).digest('hex')}.tar`)
  if (!existsSync(archive)) await makeArchive(archive, script)
  await take(
    archive,
    changes.flatMap((change) => ['--change', change]),
  )
}

/** Nobody finds half of one: of two that make it at once, the last one's stays. */
async function makeArchive(archive: string, script: string): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), 'image-'))
  try {
    const root = join(directory, 'root')
    mkdirSync(root)
    chmodSync(root, 0o755)
    await execute('sh', ['-euc', script], { cwd: root })
    chmodSync(join(root, 'tmp'), 0o1777)
    const made = join(directory, 'image.tar')
    await execute('tar', ['-C', root, '-cf', made, '.'])
    renameSync(made, archive)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Waits until an engine answers. */
export async function answering(socketPath: string, service: ChildProcess): Promise<void> {
  const deadlineMs = clock.monotonicMs() + startMsMax
  while (!(await canConnect(socketPath))) {
    if (clock.monotonicMs() > deadlineMs) throw new Error(`${service.spawnfile} does not start`)
    if (service.exitCode !== null) throw new Error(`${service.spawnfile} has ended`)
    await clock.sleep(20)
  }
}

/** Ends a service, and waits for it. */
export async function ended(service: ChildProcess): Promise<void> {
  if (service.exitCode !== null) return
  const end = new Promise<void>((resolve) => service.once('exit', () => resolve()))
  service.kill('SIGTERM')
  await end
}

/** With mounts of containers that ended while they were removed. */
export async function removeWithMounts(directory: string): Promise<void> {
  for (const point of mountsBelow(directory)) {
    await execute('umount', ['-l', point]).catch(() => {})
  }
  rmSync(directory, { recursive: true, force: true, maxRetries: 10 })
}

/** Inner ones first. */
function mountsBelow(directory: string): readonly string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8').matchAll(/^(?:\S+ ){4}(\S+)/gm)
  return Array.from(points, ([, point = '']) => point)
    .filter((point) => point.startsWith(`${directory}/`))
    .toReversed()
}

async function canConnect(path: string): Promise<boolean> {
  if (!existsSync(path)) return false
  return await new Promise<boolean>((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}
