import { delimiter, isAbsolute, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { InvalidArgumentError } from '../base/errors.ts'
import { parseSize } from '../base/sizes.ts'
import { parseTargetUrl } from '../base/target-urls.ts'
import { executorsConfig, type ExecutorFlags, type ExecutorsConfig } from './executors-config.ts'
import { isEtcdAddress } from '../legacy/old-place.ts'
import { parseDatumBounds } from '../pipelines/datum-bounds.ts'
import type { Reach } from '../sources/reach.ts'
import { parseBucketPlace } from './bucket-place.ts'
import type { BucketConfig } from './pack-places-ports.ts'
import {
  type ServerConfig,
  type SecretFile,
  type HttpConfig,
  type S3Config,
  backupKeepDefault,
} from './server-config.ts'

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
  | {
      readonly kind: 'leave-bucket'
      /** The data directory, absolute. */
      readonly root: string
    }
  | {
      readonly kind: 'restore'
      /** The data directory, absolute. */
      readonly root: string
      /** A directory, absolute, or the URL of an object store. */
      readonly from: string
      /** Another one, for packs that the first lacks. */
      readonly packsFrom?: string
      /** The beginning of a snapshot's name; empty for the newest. */
      readonly snapshot: string
      /** Do without packs that are missing or damaged in the backup. */
      readonly skipsDamaged: boolean
      readonly secretFile?: SecretFile
    }
  /** Packs that are missing or damaged, from a backup that has them. */
  | {
      readonly kind: 'restore-packs'
      readonly root: string
      readonly from: string
      readonly secretFile?: SecretFile
    }
  /** From the copies of the metadata beside the packs. */
  | {
      readonly kind: 'recover'
      readonly root: string
      readonly snapshot: string
      /** Of a directory that is lost, too: where its packs are. */
      readonly packs?: BucketConfig
    }

/** The command line makes no sense. */
export class UsageError extends InvalidArgumentError {
  override readonly name = 'UsageError'
}

const backupKeepMax = 10_000

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
  if (flags['leave-bucket'] === true) return { kind: 'leave-bucket', root: resolve(directory) }
  if (full || fix) {
    throw new UsageError(`--${full ? 'full' : 'fix'} goes with --fsck, which is missing`)
  }
  const secretFile = parseSecretFile(flags, environment)
  const restore = parseRestore(flags, environment, { root: resolve(directory), ...secretFile })
  if (restore !== undefined) return restore
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
    ...parsePacks(flags, environment),
    ...parseBackup(flags, environment, secretFile),
    ...parseMetadataCopies(
      flags['metadata-copy-every'] ?? environment['PACHD_METADATA_COPY_EVERY'],
    ),
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

const flagOptions = {
  root: { type: 'string' },
  address: { type: 'string' },
  'http-address': { type: 'string' },
  's3-address': { type: 'string' },
  'collect-every': { type: 'string' },
  'program-path': { type: 'string' },
  executor: { type: 'string' },
  sandbox: { type: 'string' },
  'container-engine': { type: 'string' },
  'container-network': { type: 'string' },
  'image-pull': { type: 'string' },
  'datum-disk': { type: 'string' },
  'datum-processes': { type: 'string' },
  sources: { type: 'string' },
  'secret-keys': { type: 'string' },
  store: { type: 'string' },
  'store-cache': { type: 'string' },
  'take-bucket': { type: 'boolean' },
  'leave-bucket': { type: 'boolean' },
  'old-etcd': { type: 'string' },
  'old-storage': { type: 'string' },
  'backup-to': { type: 'string' },
  'backup-every': { type: 'string' },
  'backup-keep': { type: 'string' },
  'backup-key-file': { type: 'string' },
  'backup-passphrase-file': { type: 'string' },
  'metadata-copy-every': { type: 'string' },
  restore: { type: 'string' },
  'restore-packs': { type: 'string' },
  'skip-damaged': { type: 'boolean' },
  snapshot: { type: 'string' },
  'recover-metadata': { type: 'boolean' },
  fsck: { type: 'boolean' },
  full: { type: 'boolean' },
  fix: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const

type Flags = ReturnType<typeof parseArgs<{ options: typeof flagOptions }>>['values']

function parseFlags(args: readonly string[]): Flags {
  try {
    return parseArgs({ args: withNegativeValues(args), options: flagOptions }).values
  } catch (error) {
    const [, flag] = /'(--[\w-]+)' argument is ambiguous/.exec(String(error)) ?? []
    if (flag !== undefined) {
      throw new UsageError(
        `${flag} needs a value, and another flag follows it: write the value behind it, or ${flag}=VALUE where that begins with "-"`,
        { cause: error },
      )
    }
    // Node's texts name the argument that it does not understand.
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error })
  }
}

/** A number below 0 is a value, which is refused as one, and no flag. */
function withNegativeValues(args: readonly string[]): string[] {
  const taken: string[] = []
  for (const arg of args) {
    const last = taken.at(-1) ?? ''
    const isValue = /^-\d/.test(arg) && /^--[a-z-]+$/.test(last)
    if (isValue) taken[taken.length - 1] = `${last}=${arg}`
    else taken.push(arg)
  }
  return taken
}

function parsePacks(
  flags: ReturnType<typeof parseFlags>,
  environment: Readonly<Record<string, string | undefined>>,
): Pick<ServerConfig, 'packs'> {
  const url = flags.store ?? environment['PACHD_STORE'] ?? ''
  const cache = flags['store-cache'] ?? environment['PACHD_STORE_CACHE'] ?? ''
  const packs = {
    ...(url !== '' && { bucket: parsed('--store', url, parseBucketPlace) }),
    ...(cache !== '' && { cacheBytes: parsed('--store-cache', cache, cacheSize) }),
    ...(flags['take-bucket'] === true && { takesBucket: true }),
  }
  return Object.keys(packs).length === 0 ? {} : { packs }
}

function cacheSize(text: string): number {
  const bytes = parseSize(text)
  if (bytes !== undefined) return bytes
  throw new InvalidArgumentError(
    `${JSON.stringify(text.slice(0, 50))} is no size: write it as in 20GB or 500MiB, or 0`,
  )
}

/** So that whoever wrote it is told where. */
function parsed<Result>(flag: string, text: string, parse: (text: string) => Result): Result {
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    throw new UsageError(`${flag}: ${error.message}`, { cause: error })
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

/** Undefined when a server is to serve. */
function parseRestore(
  flags: Flags,
  environment: Environment,
  parts: { readonly root: string; readonly secretFile?: SecretFile },
): PachdCommand | undefined {
  const { restore, snapshot = '', 'restore-packs': packs } = flags
  const packsFrom = packs === undefined ? undefined : backupPlace('--restore-packs', packs)
  const skipsDamaged = flags['skip-damaged'] === true
  if (restore !== undefined) {
    const from = backupPlace('--restore', restore)
    const more = packsFrom === undefined ? {} : { packsFrom }
    return { kind: 'restore', ...parts, from, ...more, snapshot, skipsDamaged }
  }
  if (skipsDamaged) throw new UsageError('--skip-damaged goes with --restore, which is missing')
  if (packsFrom !== undefined) return { kind: 'restore-packs', ...parts, from: packsFrom }
  if (flags['recover-metadata'] === true) {
    return { kind: 'recover', root: parts.root, snapshot, ...parsePacks(flags, environment) }
  }
  if (snapshot === '') return undefined
  throw new UsageError('--snapshot goes with --restore or --recover-metadata, which is missing')
}

/** A directory, seen from here, or the URL of an object store. */
function backupPlace(flag: string, text: string): string {
  // As of a variable that is not set: nobody means the directory that pachd runs in by that.
  if (text === '') throw new UsageError(`${flag} is empty: say where the backup is`)
  if (!text.includes('://')) return resolve(text)
  parsed(flag, text, (url) => parseTargetUrl(url, 'keep a backup in'))
  return text
}

type Environment = Readonly<Record<string, string | undefined>>

function parseBackup(
  flags: ReturnType<typeof parseFlags>,
  environment: Environment,
  secretFile: { readonly secretFile?: SecretFile },
): Pick<ServerConfig, 'backup'> {
  const to = flags['backup-to'] ?? environment['PACHD_BACKUP_TO'] ?? ''
  const every = flags['backup-every'] ?? environment['PACHD_BACKUP_EVERY'] ?? ''
  const keep = flags['backup-keep'] ?? environment['PACHD_BACKUP_KEEP'] ?? ''
  if (flags['backup-to'] === '') {
    throw new UsageError('--backup-to is empty: say where backups go, or leave it out for none')
  }
  if (to === '') {
    if (every === '' && keep === '' && secretFile.secretFile === undefined) return {}
    throw new UsageError('--backup-to is missing: say where backups go, as in s3://backups/pachd')
  }
  const keepCount = keep === '' ? backupKeepDefault : Number(keep)
  if (!/^\d{0,5}$/.test(keep) || keepCount < 1 || keepCount > backupKeepMax) {
    throw new UsageError(
      `--backup-keep ${JSON.stringify(keep)} is no count of backups: write a whole number from 1 to ${backupKeepMax}`,
    )
  }
  const backup = { to: backupPlace('--backup-to', to), keepCount, ...secretFile }
  return { backup: every === '' ? backup : { ...backup, every } }
}

function parseSecretFile(
  flags: ReturnType<typeof parseFlags>,
  environment: Environment,
): { readonly secretFile?: SecretFile } {
  const key = flags['backup-key-file'] ?? environment['PACHD_BACKUP_KEY_FILE'] ?? ''
  const passphrase =
    flags['backup-passphrase-file'] ?? environment['PACHD_BACKUP_PASSPHRASE_FILE'] ?? ''
  if (key !== '' && passphrase !== '') {
    throw new UsageError('a backup is encrypted with a key or with a passphrase, not with both')
  }
  if (key !== '') return { secretFile: { kind: 'key', path: resolve(key) } }
  if (passphrase === '') return {}
  return { secretFile: { kind: 'passphrase', path: resolve(passphrase) } }
}

function parseMetadataCopies(every: string | undefined): Pick<ServerConfig, 'metadataCopyMinutes'> {
  return every === undefined
    ? {}
    : { metadataCopyMinutes: parseMinutes(every, '--metadata-copy-every') }
}

function parseMinutes(text: string, flag = '--collect-every'): number {
  const minutes = Number(text)
  if (/^\d{1,6}$/.test(text) && minutes <= minutesMax) return minutes
  throw new UsageError(
    `${flag} ${JSON.stringify(text)} is no count of minutes: write a whole number up to ${minutesMax}, or 0 for never by itself`,
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
