import type { Instant } from '../base/clock.ts'
import type { RequestedTrigger } from './specs/trigger-check.ts'

/** A spec as a client sent it: anything may be missing or wrong. */
export interface RequestedSpec {
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly transform?: RequestedTransform | undefined
  readonly parallelism?: { readonly constant: number; readonly coefficient: number } | undefined
  readonly input?: RequestedInput | undefined
  readonly outputBranch?: string | undefined
  readonly resources?: Resources | undefined
  readonly cacheSize?: string | undefined
  readonly scaleDownThresholdMs?: number | undefined
  readonly enableStats?: boolean | undefined
  readonly batch?: boolean | undefined
  readonly incremental?: boolean | undefined
  readonly egressUrl?: string | undefined
  readonly egressSecret?: string | undefined
  /** 0 or undefined: not set, here and for the times. */
  readonly datumTries?: number | undefined
  readonly datumTimeoutMs?: number | undefined
  readonly jobTimeoutMs?: number | undefined
  readonly spout?: boolean | undefined
  /** Empty or undefined: the server decides. */
  readonly executor?: string | undefined
  readonly service?: RequestedService | undefined
}

/** Ports: `external` 0 is the same as `internal`. */
export interface RequestedService {
  readonly internalPort: number
  readonly externalPort: number
}

export interface RequestedTransform {
  readonly image: string
  readonly command: readonly string[]
  readonly stdinLines: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly acceptedReturnCodes: readonly number[]
  readonly secrets: readonly Secret[]
  readonly imagePullSecrets: readonly string[]
  readonly debug: boolean
  readonly isWarm?: boolean | undefined
  readonly errorCommand?: readonly string[] | undefined
  readonly errorStdinLines?: readonly string[] | undefined
}

/** A secret, and where user code finds it: in a directory, in its environment, or in both. */
export interface Secret {
  readonly name: string
  /** Empty: in no directory. */
  readonly mountPath: string
  /** One entry of it alone. */
  readonly key?: string
  /** The variable with the entry `key`. */
  readonly envVar?: string
}

/** An input as a client sent it: exactly one member should be set, but none or several may be. */
export interface RequestedInput {
  readonly atom?: RequestedAtom | undefined
  readonly cross?: readonly RequestedInput[] | undefined
  readonly union?: readonly RequestedInput[] | undefined
  readonly join?: readonly RequestedInput[] | undefined
  readonly group?: readonly RequestedInput[] | undefined
  readonly cron?: RequestedCron | undefined
}

export interface RequestedCron {
  readonly name: string
  readonly repo: string
  readonly spec: string
  readonly start: Instant | undefined
  readonly timeZone: string
  readonly missedTicks: string
}

export interface RequestedAtom {
  readonly name: string
  readonly repo: string
  readonly branch: string
  readonly glob: string
  readonly lazy: boolean
  readonly fromCommit: string
  /** Read through a branch that follows `branch`, or the one that the trigger names. */
  readonly trigger?: RequestedTrigger | undefined
  /** Of a join's member. */
  readonly joinOn?: string
  readonly outerJoin?: boolean
  /** Of a group's member. */
  readonly groupBy?: string
}

/** What a pipeline asks of the machine that runs it. */
export interface Resources {
  readonly cpu: number
  readonly memory: string
  readonly gpu: number
}
