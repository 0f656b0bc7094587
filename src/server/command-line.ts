import { delimiter, isAbsolute, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { InvalidArgumentError } from '../base/errors.ts'
import { executorsConfig, type ExecutorFlags, type ExecutorsConfig } from './executors-config.ts'
import { isEtcdAddress, type OldPlace } from '../legacy/open-cluster.ts'
import { parseDatumBounds } from '../pipelines/datum-bounds.ts'
import type { SlotBounds } from '../pipelines/executor.ts'
import type { Reach } from '../sources/reach.ts'

/** What the person who starts pachd decides. */
export interface ServerConfig {
  /** The data directory, absolute. */
  readonly root: string
  /** Where to listen; `0.0.0.0` for every address of this machine. */
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Where to serve files by HTTP as well; absent: nowhere but at `port`. */
  readonly http?: HttpConfig
  /** Where to serve S3; absent: nowhere. */
  readonly s3?: S3Config
  /** Directories, as in `PATH`, where programs of pipelines are looked for before the usual ones. */
  readonly programPath?: string
  /** Absent: as processes of this machine. */
  readonly executors?: ExecutorsConfig
  /** The file of keys that secrets are sealed with; absent: one in the data directory. */
  readonly secretKeysFile?: string
  /** What a datum may use at most; the executor's defaults for what is not said. */
  readonly datumBounds?: Partial<SlotBounds>
  /** Garbage is collected at most so often, when there is likely to be some; 0: only when asked. */
  readonly collectEveryMinutes?: number
  /** Where put-file may fetch from; `any` by default. */
  readonly sources?: Reach
  /** The old cluster that `pachctl migrate` brings here when it names none. */
  readonly oldCluster?: OldPlace
}

/** A port besides that for everything. */
export interface HttpConfig {
  readonly host: string
  /** 0 picks a free one. */
  readonly port: number
  /** Somebody asked for it, who wants to know when it cannot be had. */
  readonly isAsked: boolean
}

export interface S3Config extends HttpConfig {
  /** Whoever signs with them may call; absent: anybody may. */
  readonly keys?: { readonly accessKey: string; readonly secretKey: string }
  /** Buckets are also found in host names below this one. */
  readonly domain?: string
}

export type PachdCommand =
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'serve'; readonly config: ServerConfig }
  | {
      readonly kind: 'check'
      /** The data directory, absolute. */
      readonly root: string
      readonly full: boolean
      readonly fix: boolean
    }

/** The command line makes no sense. */
export class UsageError extends InvalidArgumentError {
  override readonly name = 'UsageError'
}

/** Where the command line says nothing else. */
export const collectEveryMinutesDefault: number = 10

export const usage: string = `pachd: the Pachyderm server

Usage: pachd --root DIR [--address HOST:PORT] [--http-address HOST:PORT|off]
             [--s3-address HOST:PORT|off] [--collect-every MINUTES]
             [--sources any|public|none] [--executor auto|process|container]
             [--secret-keys FILE]
             [--old-etcd FILE|HOST:PORT --old-storage DIR|URL]
       pachd --root DIR --fsck [--full] [--fix]

  --root DIR            the data directory; made if it does not exist (or PACH_ROOT)
  --address HOST:PORT   where to listen; port 0 picks a free one
                        (or PACHD_ADDRESS; default 0.0.0.0:30650)
  --http-address HOST:PORT
                        where to serve files by HTTP, besides the address above, which
                        does so, too; off: nowhere else (or PACHD_HTTP_ADDRESS;
                        default port 30652 when that above is 30650, else off)
  --s3-address HOST:PORT
                        where to serve S3, with branches as buckets; off: nowhere
                        (or PACHD_S3_ADDRESS; default port 30600 when the first is 30650,
                        else off). With PACHD_S3_ACCESS_KEY and PACHD_S3_SECRET_KEY it
                        takes only what is signed with them; without, from anybody. With
                        PACHD_S3_DOMAIN buckets are found in host names below it, too
  --collect-every MINUTES
                        how often to free what nothing needs, at most; 0: only when
                        asked to (or PACHD_COLLECT_EVERY; default ${collectEveryMinutesDefault})
  --program-path DIRS   where pipelines find programs before the usual places (as in PATH;
                        or PACHD_PROGRAM_PATH); /root and /home are hidden from them,
                        unless one of these lies there
  --executor auto|process|container
                        where user code runs: in a container of its image where the
                        pipeline names one and a container engine answers, else as a process
                        of this machine; or one of the two for all pipelines
                        (or PACHD_EXECUTOR; default auto)
  --container-engine SOCKET|off
                        the socket of Docker or Podman; off: none is used
                        (or PACHD_CONTAINER_ENGINE; default DOCKER_HOST, else the usual ones)
  --container-network NAME
                        the network of containers: host, bridge, none, or one that the
                        engine has (or PACHD_CONTAINER_NETWORK; default host)
  --image-pull IfNotPresent|Always|Never
                        when images are asked for at their registry
                        (or PACHD_IMAGE_PULL; default IfNotPresent)
  --secret-keys FILE    the keys that secrets are encrypted with, apart from the data; by
                        default secrets.key in the data directory (or PACHD_SECRET_KEYS)
  --datum-disk SIZE     what a datum may have on disk in its output and temporary files, such
                        as 20G (or PACHD_DATUM_DISK; default: until the disk is nearly full)
  --datum-processes COUNT
                        how many processes and threads a datum may have at once
                        (or PACHD_DATUM_PROCESSES; default 4096)
  --sources any|public|none
                        where put-file may have this server fetch from: any address,
                        public ones only (no private, link-local or loopback address),
                        or none, which forbids export, too (or PACHD_SOURCES; default any)
  --old-etcd FILE|HOST:PORT, --old-storage DIR|URL
                        the stores of an old cluster, of 1.4 or 1.5, that pachctl migrate
                        brings here: its etcd or a snapshot of it, and where its objects
                        are, a directory or a bucket such as s3://pachyderm
                        (or PACHD_OLD_ETCD and PACHD_OLD_STORAGE)
  --fsck                check the data directory instead of serving it, also one that no
                        server can be started on; exits with 1 when something is damaged
  --full                with --fsck: read and check every byte, too
  --fix                 with --fsck: put right what can be derived with certainty
  --version             say which release this is
  --help                say this

When it is ready it prints: pachd is ready on HOST:PORT, data in DIR
and, where there are any, the addresses for files by HTTP and for S3 on lines of their own.
It stops on SIGINT or SIGTERM, after running calls have ended, in about 5 seconds at most.
`

const defaultPort = 30_650
const defaultAddress = `0.0.0.0:${defaultPort}`
/** 1.5 had the two side by side. */
const defaultHttpPort = 30_652
/** Where later versions had it. */
const defaultS3Port = 30_600
const portMax = 65_535
/** Four weeks. */
const minutesMax = 40_320

/** @throws {UsageError} with advice. */
export function parseCommandLine(
  args: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
): PachdCommand {
  const { root, address, help, version, ...flags } = parseFlags(args)
  const { fsck = false, full = false, fix = false } = flags
  if (help === true) return { kind: 'help' }
  if (version === true) return { kind: 'version' }
  const directory = root ?? environment['PACH_ROOT'] ?? ''
  if (directory === '') {
    throw new UsageError('--root is missing: say where to keep the data, as in --root /var/pachd')
  }
  if (fsck) return { kind: 'check', root: resolve(directory), full, fix }
  if (full || fix) {
    throw new UsageError(`--${full ? 'full' : 'fix'} goes with --fsck, which is missing`)
  }
  const where = address ?? environment['PACHD_ADDRESS'] ?? defaultAddress
  const every = flags['collect-every'] ?? environment['PACHD_COLLECT_EVERY']
  const listen = parseListenAddress('--address', where)
  const http = parseHttp(flags['http-address'] ?? environment['PACHD_HTTP_ADDRESS'], listen)
  const s3 = parseS3(flags['s3-address'], listen, environment)
  const secretKeys = flags['secret-keys'] ?? environment['PACHD_SECRET_KEYS'] ?? ''
  const sources = flags.sources ?? environment['PACHD_SOURCES']
  const config = {
    root: resolve(directory),
    ...listen,
    ...(http !== undefined && { http }),
    ...(s3 !== undefined && { s3 }),
    ...(every === undefined ? {} : { collectEveryMinutes: parseMinutes(every) }),
    ...(secretKeys !== '' && { secretKeysFile: resolve(secretKeys) }),
    ...(sources === undefined ? {} : { sources: parseReach(sources) }),
    executors: parseExecutors(flags, environment),
    ...parseOldCluster(
      flags['old-etcd'] ?? environment['PACHD_OLD_ETCD'] ?? '',
      flags['old-storage'] ?? environment['PACHD_OLD_STORAGE'] ?? '',
    ),
  }
  const datumBounds = boundsOf(
    flags['datum-disk'] ?? environment['PACHD_DATUM_DISK'] ?? '',
    flags['datum-processes'] ?? environment['PACHD_DATUM_PROCESSES'] ?? '',
  )
  const programPath = flags['program-path'] ?? environment['PACHD_PROGRAM_PATH'] ?? ''
  const bounded = { ...config, ...datumBounds }
  if (programPath === '') return { kind: 'serve', config: bounded }
  requireAbsolute(programPath)
  return { kind: 'serve', config: { ...bounded, programPath } }
}

function boundsOf(disk: string, processes: string): Pick<ServerConfig, 'datumBounds'> {
  try {
    return disk === '' && processes === '' ? {} : { datumBounds: parseDatumBounds(disk, processes) }
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new UsageError(error.message, { cause: error })
  }
}

function parseExecutors(
  flags: ExecutorFlags,
  environment: Readonly<Record<string, string | undefined>>,
): ExecutorsConfig {
  try {
    return executorsConfig(flags, environment)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new UsageError(error.message, { cause: error })
  }
}

/** Relative places would mean another directory to each program. */
function requireAbsolute(programPath: string): void {
  const wrong = programPath.split(delimiter).find((place) => !isAbsolute(place))
  if (wrong === undefined) return
  throw new UsageError(
    `--program-path ${JSON.stringify(programPath)}: ${JSON.stringify(wrong)} is no absolute directory: write them as in /opt/tools/bin:/opt/ada/bin`,
  )
}

function parseFlags(args: readonly string[]): {
  readonly root?: string | undefined
  readonly address?: string | undefined
  readonly 'http-address'?: string | undefined
  readonly 's3-address'?: string | undefined
  readonly 'collect-every'?: string | undefined
  readonly 'program-path'?: string | undefined
  readonly executor?: string | undefined
  readonly 'container-engine'?: string | undefined
  readonly 'container-network'?: string | undefined
  readonly 'image-pull'?: string | undefined
  readonly 'datum-disk'?: string | undefined
  readonly 'datum-processes'?: string | undefined
  readonly sources?: string | undefined
  readonly 'secret-keys'?: string | undefined
  readonly 'old-etcd'?: string | undefined
  readonly 'old-storage'?: string | undefined
  readonly fsck?: boolean | undefined
  readonly full?: boolean | undefined
  readonly fix?: boolean | undefined
  readonly help?: boolean | undefined
  readonly version?: boolean | undefined
} {
  try {
    const { values } = parseArgs({
      args: [...args],
      strict: true,
      allowPositionals: false,
      options: {
        root: { type: 'string' },
        address: { type: 'string' },
        'http-address': { type: 'string' },
        's3-address': { type: 'string' },
        'collect-every': { type: 'string' },
        'program-path': { type: 'string' },
        executor: { type: 'string' },
        'container-engine': { type: 'string' },
        'container-network': { type: 'string' },
        'image-pull': { type: 'string' },
        'datum-disk': { type: 'string' },
        'datum-processes': { type: 'string' },
        sources: { type: 'string' },
        'secret-keys': { type: 'string' },
        'old-etcd': { type: 'string' },
        'old-storage': { type: 'string' },
        fsck: { type: 'boolean' },
        full: { type: 'boolean' },
        fix: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    })
    return values
  } catch (error) {
    // Node's texts name the argument that it does not understand.
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

function parseOldCluster(etcd: string, storage: string): Pick<ServerConfig, 'oldCluster'> {
  if (etcd === '' && storage === '') return {}
  if (etcd !== '' && storage !== '') {
    return {
      oldCluster: { kind: 'stores', etcd: absolutePlace(etcd), storage: absolutePlace(storage) },
    }
  }
  throw new UsageError(
    `an old cluster has two stores, and --old-${etcd === '' ? 'etcd' : 'storage'} is missing`,
  )
}

/** A path, seen from here; addresses and URLs stay. */
function absolutePlace(place: string): string {
  return isEtcdAddress(place) || place.includes('://') ? place : resolve(place)
}

function parseMinutes(text: string): number {
  const minutes = Number(text)
  if (/^\d{1,6}$/.test(text) && minutes <= minutesMax) return minutes
  throw new UsageError(
    `--collect-every ${JSON.stringify(text)} is no count of minutes: write a whole number up to ${minutesMax}, or 0 to collect only when asked`,
  )
}

function parseReach(text: string): Reach {
  if (text === 'any' || text === 'public' || text === 'none') return text
  throw new UsageError(
    `--sources ${JSON.stringify(text)} is none of any, public and none: say where put-file may have this server fetch from`,
  )
}

/** By itself only beside the port that goes with it: whoever moves one decides about both. */
function parseHttp(
  text: string | undefined,
  { host, port }: { readonly host: string; readonly port: number },
): HttpConfig | undefined {
  if (text === 'off') return undefined
  if (text !== undefined && text !== '') {
    const address = parseListenAddress('--http-address', text)
    if (address.port === 0 || address.port !== port) return { ...address, isAsked: true }
    throw new UsageError(
      `--http-address ${JSON.stringify(text)} is the port of --address, which serves files by HTTP already: choose another, or off`,
    )
  }
  return port === defaultPort ? { host, port: defaultHttpPort, isAsked: false } : undefined
}

/** Beside the main port, as `parseHttp`. Keys are of the environment only: a command line is no secret. */
function parseS3(
  flag: string | undefined,
  listen: { readonly host: string; readonly port: number },
  environment: Readonly<Record<string, string | undefined>>,
): S3Config | undefined {
  const keys = parseS3Keys(environment)
  const domain = environment['PACHD_S3_DOMAIN'] ?? ''
  const text = flag ?? environment['PACHD_S3_ADDRESS'] ?? ''
  if (text === 'off') return undefined
  const more = { ...(keys !== undefined && { keys }), ...(domain !== '' && { domain }) }
  if (text === '') {
    if (listen.port !== defaultPort) return undefined
    return { host: listen.host, port: defaultS3Port, isAsked: false, ...more }
  }
  const address = parseListenAddress('--s3-address', text)
  if (address.port === 0 || address.port !== listen.port) {
    return { ...address, isAsked: true, ...more }
  }
  throw new UsageError(
    `--s3-address ${JSON.stringify(text)} is the port of --address: choose another, or off`,
  )
}

function parseS3Keys(
  environment: Readonly<Record<string, string | undefined>>,
): S3Config['keys'] | undefined {
  const accessKey = environment['PACHD_S3_ACCESS_KEY'] ?? ''
  const secretKey = environment['PACHD_S3_SECRET_KEY'] ?? ''
  if (accessKey === '' && secretKey === '') return undefined
  if (accessKey !== '' && secretKey !== '') return { accessKey, secretKey }
  const missing = accessKey === '' ? 'PACHD_S3_ACCESS_KEY' : 'PACHD_S3_SECRET_KEY'
  throw new UsageError(
    `${missing} is missing: set PACHD_S3_ACCESS_KEY and PACHD_S3_SECRET_KEY, or neither of them to let anybody in`,
  )
}

function parseListenAddress(
  flag: string,
  text: string,
): { readonly host: string; readonly port: number } {
  const match = /^(?:\[([0-9a-fA-F:.%\w]+)\]|([^\s:/@[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > portMax) {
    throw new UsageError(
      `${flag} ${JSON.stringify(text)} is no address: write HOST:PORT, as in ${defaultAddress}`,
    )
  }
  return { host: match[1] ?? match[2] ?? '', port }
}
