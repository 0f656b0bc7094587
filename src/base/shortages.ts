import { ResourceExhaustedError } from './errors.ts'

const ofPipelines = 'or have pipelines run fewer datums at once (parallelism_spec)'

/** By the operating system's code of a failed call. */
const texts: Readonly<Partial<Record<string, (openFilesMax: number | undefined) => string>>> = {
  EMFILE: descriptorsText,
  ENFILE: () =>
    `this machine has no file descriptors left: raise its limit (sysctl fs.file-max), ${ofPipelines}`,
  EAGAIN: () =>
    `this server may start no more processes now: raise its limit (ulimit -u, or TasksMax of its systemd unit), ${ofPipelines}`,
  ENOMEM: () =>
    `this machine has no memory for another process: give it more, or swap space, ${ofPipelines}`,
}

/** When this process has as many as it may, or leaves the rest to more urgent things. */
export function descriptorsText(openFilesMax: number = Number.POSITIVE_INFINITY): string {
  const count =
    openFilesMax === Number.POSITIVE_INFINITY ? '' : `, of the ${openFilesMax} that it may have`
  return (
    `this server has no file descriptors left for this${count}: raise that limit (ulimit -n, or LimitNOFILE ` +
    `of its systemd unit), ${ofPipelines}`
  )
}

/** To files, too, these codes mean want of what is needed. */
const descriptorCodes: readonly string[] = ['EMFILE', 'ENFILE']

/**
 * What a failed call means when it failed for want of file descriptors, processes or memory, which may
 * pass: undefined for others. `openFilesMax` is what this process may have.
 */
export function shortageError(
  error: unknown,
  openFilesMax?: number,
): ResourceExhaustedError | undefined {
  if (!(error instanceof Error && 'code' in error && typeof error.code === 'string')) {
    return undefined
  }
  const isOfStart =
    'syscall' in error && typeof error.syscall === 'string' && error.syscall.startsWith('spawn')
  if (!isOfStart && !descriptorCodes.includes(error.code)) return undefined
  const text = texts[error.code]?.(openFilesMax)
  return text === undefined ? undefined : new ResourceExhaustedError(text, { cause: error })
}
