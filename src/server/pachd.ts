import { addressText } from '../api/open-port.ts'
import type { Writable } from 'node:stream'
import { SystemClock } from '../base/clock.ts'
import { CancelledError, DataLossError, DomainError } from '../base/errors.ts'
import { findingText, summaryText } from '../base/finding-text.ts'
import { Output, OutputClosedError } from '../base/output.ts'
import { SystemRandom } from '../base/random.ts'
import type { CloudEnvironment } from '../clouds/bucket.ts'
import type { WaitPorts } from '../clouds/told-waits.ts'
import { systemCode } from '../storage/file-errors.ts'
import { type PachdCommand, parseCommandLine, UsageError } from './command-line.ts'
import type { ServerConfig } from './server-config.ts'
import { usage } from './usage.ts'
import { Log } from './log.ts'
import { readRelease } from './release.ts'
import type { OfflineRestorePorts } from './backing-up/offline-restore.ts'
import type { ServerPorts } from './ports.ts'
import type { Server } from './server.ts'

/** The parts of a process that pachd uses. */
export interface PachdProcess {
  /** Without the program's own. */
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdout: Writable
  readonly err: (text: string) => void
  /** Resolves with its name when the process is asked to stop. */
  readonly stopAsked: () => Promise<string>
}

const stopGraceMs = 5000
/** For a last copy of what has changed of the metadata. */
const lastCopyMs = 10_000
const exitCodes = { done: 0, failed: 1, usage: 2 } as const

/** Runs a server until it is asked to stop. Returns the exit code. */
export async function runPachd(process: PachdProcess): Promise<number> {
  const out = new Output(process.stdout)
  try {
    const command = parseCommandLine(process.args, process.environment)
    switch (command.kind) {
      case 'help':
        await out.write(usage)
        break
      case 'version':
        await out.write(`pachd ${await readRelease()}, serving the API of Pachyderm 1.5.3\n`)
        break
      case 'serve':
        await serve(command.config, process, out)
        return exitCodes.done
      case 'check':
        return await check(command, process, out)
      case 'leave-bucket':
        await leave(command.root, process, out)
        break
      case 'restore':
      case 'restore-packs':
      case 'recover':
        await restoreOffline(command, process, out)
        break
    }
    await out.flush()
    return exitCodes.done
  } catch (error) {
    if (error instanceof OutputClosedError) return error.exitCode
    if (!(error instanceof DomainError)) {
      new Log(new SystemClock(), process.err).error('pachd ended unexpectedly', error)
      process.err(`pachd: ${unexpected(error)}\n`)
      return exitCodes.failed
    }
    process.err(`pachd: ${error.message}\n`)
    if (!(error instanceof UsageError)) return exitCodes.failed
    process.err('For the flags: pachd --help\n')
    return exitCodes.usage
  }
}

/** One line; the log has the rest. */
function unexpected(error: unknown): string {
  const text = (error instanceof Error ? error.message : String(error)).replaceAll(/\s+/g, ' ')
  // The operating system's message names the call and the path.
  if (systemCode(error) !== '') return `${text}; check the data directory and this machine`
  return `${text}; this is a bug: please report it with the line above`
}

/** Prints what is found, then what was looked at. */
async function check(
  command: Extract<PachdCommand, { readonly kind: 'check' }>,
  process: PachdProcess,
  out: Output,
): Promise<number> {
  const ports = { ...(await offlineWorldOf(process)), release: await readRelease() }
  let exitCode: number = exitCodes.failed
  const { checkDirectory } = await import('./directory-check.ts')
  try {
    for await (const event of checkDirectory(command, ports)) {
      switch (event.kind) {
        case 'progress':
          break
        case 'finding':
          await out.write(
            findingText({ ...event.finding, ...event.finding.kind, kind: event.finding.kind.name }),
          )
          break
        case 'end':
          exitCode = event.counts.errors > 0 ? exitCodes.failed : exitCodes.done
          await out.write(summaryText(event.counts, command.full))
      }
    }
    await out.flush()
    return exitCode
  } catch (error) {
    // Before its end, what was to be found out is not known.
    throw error instanceof OutputClosedError ? new OutputClosedError(exitCode) : error
  }
}

/** Brings the packs back from a bucket. */
async function leave(root: string, process: PachdProcess, out: Output): Promise<void> {
  const { leaveBucket } = await import('./bucket/leave-bucket.ts')
  const ports = await offlineWorldOf(process)
  for await (const line of leaveBucket(root, ports)) await out.write(`${line}\n`)
}

interface World {
  readonly clock: SystemClock
  readonly random: SystemRandom
  readonly clouds: CloudEnvironment
}

function worldOf({ environment }: PachdProcess): World {
  const clouds = { variables: environment, secretsDirectory: '/' }
  return { clock: new SystemClock(), random: new SystemRandom(), clouds }
}

/** The same without a server: the first signal ends what is done, and people see what is waited for. */
async function offlineWorldOf(
  process: PachdProcess,
): Promise<World & { readonly signal: AbortSignal; readonly giveUp: AbortSignal }> {
  const stop = new AbortController()
  void process.stopAsked().then(() => stop.abort())
  const { waitText } = await import('../base/store-waits.ts')
  const world = worldOf(process)
  const { clock } = world
  const waits: WaitPorts = {
    clock,
    tell: (wait) => process.err(`${waitText(wait)}\n`),
    tellOver: ({ bucket, endpoint }) => process.err(`${bucket} at ${endpoint} answers\n`),
  }
  const { signal } = stop
  return { ...world, clouds: { ...world.clouds, waits }, signal, giveUp: signal }
}

/** What keeps a server from starting is what a check without one can tell more of. */
function pointedToCheck(error: DataLossError, root: string): DataLossError {
  const hint = `pachd --root ${root} --fsck says what is damaged and what is whole, and --recover-metadata puts lost metadata together from the newest copy beside the packs`
  return new DataLossError(`${error.message}; ${hint}`, { cause: error })
}

type OfflineCommand = Extract<
  PachdCommand,
  { readonly kind: 'restore' | 'restore-packs' | 'recover' }
>

/** Puts a data directory together, that no server uses. */
async function restoreOffline(
  command: OfflineCommand,
  process: PachdProcess,
  out: Output,
): Promise<void> {
  const world = await offlineWorldOf(process)
  const log = new Log(world.clock, process.err)
  const ports = { ...world, log, release: await readRelease() }
  for await (const line of linesOf(command, ports)) await out.write(`${line}\n`)
}

async function* linesOf(
  command: OfflineCommand,
  ports: OfflineRestorePorts,
): AsyncGenerator<string> {
  // A server does without what puts a directory together.
  const restore = await import('./backing-up/offline-restore.ts')
  switch (command.kind) {
    case 'restore':
      yield* restore.withRoom(restore.restoreDirectoryFrom(command, ports))
      break
    case 'restore-packs':
      yield* restore.withRoom(restore.restorePacks(command, ports))
      break
    case 'recover':
      yield* restore.withRoom(restore.recoverMetadata(command, ports))
      break
  }
}

/** Until it is asked to stop; a restore has it closed and opened once more, on the same ports. */
async function serve(config: ServerConfig, process: PachdProcess, out: Output): Promise<void> {
  const world = worldOf(process)
  const log = new Log(world.clock, process.err)
  // Asked before the data directory is opened, so that a stop at any time is in good order.
  const stopAsked = process.stopAsked()
  const release = await readRelease()
  let again = config
  for (let isFirst = true; ; isFirst = false) {
    const restart = Promise.withResolvers<'restart'>()
    const ports = { ...world, log, release, restart: () => restart.resolve('restart') }
    const server = await openUnlessStopped(again, ports, stopAsked)
    if (server === undefined) {
      log.info('stopped before it was ready')
      return
    }
    if (isFirst) await tellReady(server, config, { out, log })
    const reason = await Promise.race([stopAsked, restart.promise])
    log.info('stopping', { reason, graceMs: stopGraceMs })
    again = onSamePorts(config, server)
    // A restore is about to take the place of what there is.
    await server.close(stopGraceMs, { lastCopyMs: reason === 'restart' ? 0 : lastCopyMs })
    log.info('stopped')
    if (reason !== 'restart') return
  }
}

/** Undefined when it was asked to stop while it waited for an object store. */
async function openUnlessStopped(
  config: ServerConfig,
  ports: ServerPorts,
  stopAsked: Promise<string>,
): Promise<Server | undefined> {
  const { openServer } = await import('./server.ts')
  const giveUp = new AbortController()
  let isOpening = true
  // A server that is open needs the store at its end, too.
  const giveUpOpening = (): void => {
    if (isOpening) giveUp.abort()
  }
  void stopAsked.then(giveUpOpening)
  try {
    return await openServer(config, { ...ports, giveUp: giveUp.signal })
  } catch (error) {
    if (giveUp.signal.aborted && error instanceof CancelledError) return undefined
    throw error instanceof DataLossError ? pointedToCheck(error, config.root) : error
  } finally {
    isOpening = false
  }
}

/** Those that were picked are kept. */
function onSamePorts(config: ServerConfig, server: Server): ServerConfig {
  const { address, httpAddress, s3Address } = server
  const { http, s3 } = config
  return {
    ...config,
    port: address.port,
    ...(http !== undefined && httpAddress && { http: { ...http, port: httpAddress.port } }),
    ...(s3 !== undefined && s3Address && { s3: { ...s3, port: s3Address.port } }),
  }
}

async function tellReady(
  { address, httpAddress, s3Address }: Server,
  { root }: ServerConfig,
  { out, log }: { readonly out: Output; readonly log: Log },
): Promise<void> {
  const files =
    httpAddress === undefined ? '' : `files by HTTP: http://${addressText(httpAddress)}/\n`
  const s3 = s3Address === undefined ? '' : `S3: http://${addressText(s3Address)}/\n`
  const ready = `pachd is ready on ${addressText(address)}, data in ${root}\n`
  // In one go: who waits for the first line may not read another. Whoever does not want to know it may be
  // served all the same.
  await out
    .write(`${ready}${files}${s3}`)
    .catch((error: unknown) => log.error('nobody could be told that the server is ready', error))
}
