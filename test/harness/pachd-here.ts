import { runPachd } from '../../src/server/pachd.ts'
import { type ChildExit, readyPattern } from './child-pachd.ts'
import { Collector } from './pachctl-here.ts'

/**
 * Runs pachd in this process to its end, which is faster than starting one. Once it is ready, it is asked to stop when
 * `whileReady` has settled. `onOutput` is told of all that it has printed, at once when there is more.
 */
export async function pachdHere(
  args: readonly string[],
  whileReady: (port: number) => Promise<void> = async () => {},
  onOutput: (text: string) => void = () => undefined,
): Promise<ChildExit> {
  const stop = Promise.withResolvers<string>()
  let used: Promise<void> | undefined
  let err = ''
  const out = new Collector(() => {
    onOutput(out.text)
    const port = readyPattern.exec(out.text)?.[1]
    if (port === undefined) return
    used ??= whileReady(Number(port)).finally(() => stop.resolve('SIGTERM'))
  })
  const code = await runPachd({
    args,
    environment: { ...process.env, PACHD_CONTAINER_ENGINE: 'off' },
    stdout: out,
    err: (text) => void (err += text),
    stopAsked: () => stop.promise,
  })
  await used
  return { code, signal: null, out: out.text, err }
}
