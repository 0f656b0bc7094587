import type { Instant } from '../base/clock.ts'

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
  /** 0 or undefined: not set, here and for the times. */
  readonly datumTries?: number | undefined
  readonly datumTimeoutMs?: number | undefined
  readonly jobTimeoutMs?: number | undefined
  readonly spout?: boolean | undefined
  /** Empty or undefined: the server decides. */
  readonly executor?: string | undefined
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
  readonly errorCommand?: readonly string[] | undefined
  readonly errorStdinLines?: readonly string[] | undefined
}

/** A secret of the cluster, and the directory in which user code finds it. */
export interface Secret {
  readonly name: string
  readonly mountPath: string
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
