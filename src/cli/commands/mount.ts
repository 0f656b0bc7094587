import process from 'node:process'
import { getVersion } from '../../client/version.ts'
import { Mount } from '../../mount/mount.ts'
import { listMounts, unmount } from '../../mount/mount-points.ts'
import type { CommandContext } from '../command.ts'
import { confirm } from '../confirm.ts'
import { UsageError } from '../errors.ts'
import { LazyTransport } from '../lazy-transport.ts'

/** So long a server may take to say that it is there. */
const greetingMsMax = 5000
const stopSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Serves a mount until it is unmounted, or this program is asked to stop. */
export async function mountPfs(context: CommandContext): Promise<void> {
  const { args, flags, out, err, clock, address, transport } = context
  const [directory = ''] = args
  const tell = (line: string): void => void err.line(line)
  const greeting = getVersion(transport, { timeoutMs: greetingMsMax }).then(
    () => undefined,
    (error: unknown) => (error instanceof Error ? error.message : String(error)),
  )
  await using mount = await Mount.start({
    directory,
    address,
    openTransport: () => new LazyTransport(address, clock),
    clock,
    report: (line) => tell(`pachctl mount: ${line}`),
    trace: flags.isOn('debug') ? tell : undefined,
  })
  const stopping = Promise.withResolvers<void>()
  const stop = (): void => {
    mount.stop().then((outcome) => {
      if (outcome === 'in use') {
        tell(`${directory} was in use: programs that still have files of it open get errors now`)
      }
      stopping.resolve()
    }, stopping.reject)
  }
  for (const signal of stopSignals) process.once(signal, stop)
  try {
    const silence = await greeting
    if (silence !== undefined) {
      tell(`pachctl mount: no pachd answers, and until one does there are no files: ${silence}`)
    }
    await out.line('Filesystem mounted, CTRL-C to exit.')
    await Promise.race([mount.ended, stopping.promise])
  } finally {
    for (const signal of stopSignals) process.off(signal, stop)
  }
}

export async function unmountPfs(context: CommandContext): Promise<void> {
  const { args, flags, out } = context
  const options = { detaches: flags.isOn('force') }
  const [directory] = args
  if (!flags.isOn('all')) {
    if (directory === undefined) throw new UsageError('a DIR is needed, or --all')
    await unmount(directory, options)
    return
  }
  if (directory !== undefined) throw new UsageError('DIR and --all exclude each other')
  const mounts = listMounts()
  if (mounts.length === 0) {
    await out.line('No mounts found.')
    return
  }
  for (const mounted of mounts) await out.line(mounted)
  const question = 'Are you sure you want to unmount these filesystems? yN'
  await confirm(context, question, 'nothing was unmounted')
  for (const mounted of mounts) await unmount(mounted, options)
}
