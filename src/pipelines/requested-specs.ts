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
}

export interface RequestedTransform {
  readonly image: string
  readonly command: readonly string[]
  readonly stdinLines: readonly string[]
  readonly environment: Readonly<Record<string, string>>
  readonly acceptedReturnCodes: readonly number[]
  readonly secretNames: readonly string[]
  readonly imagePullSecrets: readonly string[]
  readonly debug: boolean
  readonly errorCommand?: readonly string[] | undefined
  readonly errorStdinLines?: readonly string[] | undefined
}

/** An input as a client sent it: exactly one member should be set, but none or several may be. */
export interface RequestedInput {
  readonly atom?: RequestedAtom | undefined
  readonly cross?: readonly RequestedInput[] | undefined
  readonly union?: readonly RequestedInput[] | undefined
  /** Cron inputs are not built yet; set when the client asked for one. */
  readonly cron?: boolean | undefined
}

export interface RequestedAtom {
  readonly name: string
  readonly repo: string
  readonly branch: string
  readonly glob: string
  readonly lazy: boolean
  readonly fromCommit: string
}

/** What a pipeline asks of the machine that runs it. */
export interface Resources {
  readonly cpu: number
  readonly memory: string
  readonly gpu: number
}
