import type { ExecutorsConfig } from './executors-config.ts'
import type { OldPlace } from '../legacy/old-place.ts'
import type { SlotBounds } from '../pipelines/executor.ts'
import type { Reach } from '../sources/reach.ts'
import type { BucketConfig } from './pack-places-ports.ts'

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
  /** Where packs are. */
  readonly packs?: BucketConfig
  /** The old cluster that `pachctl migrate` brings here when it names none. */
  readonly oldCluster?: OldPlace
  /** Where backups go, and when. */
  readonly backup?: BackupConfig
  /** The metadata are copied beside the packs so often, if they have changed; 0: never. */
  readonly metadataCopyMinutes?: number
}

/** A file with what opens an encrypted backup. */
export interface SecretFile {
  readonly kind: 'passphrase' | 'key'
  /** Absolute. */
  readonly path: string
}

/** Backups that whoever runs the server has asked for. */
export interface BackupConfig {
  /** A directory, absolute, or the URL of an object store. */
  readonly to: string
  /** As the spec of a cron input, in UTC; absent: only when somebody asks. */
  readonly every?: string
  /** Snapshots that are kept. */
  readonly keepCount: number
  readonly secretFile?: SecretFile
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

/** Where the command line says nothing else. */
export const collectEveryMinutesDefault: number = 10
export const metadataCopyMinutesDefault: number = 60
export const backupKeepDefault: number = 7
