import { availableParallelism } from 'node:os'
import type { Benchmark, Stage } from '../benchmark.ts'
import type { Pachd } from '../pachd.ts'
import { timed } from '../processes.ts'
import { putFiles } from '../../src/client/file-transfers.ts'
import { PodmanEngine } from '../../src/testing/podman-engine.ts'
import { busyboxImage } from '../../src/testing/test-images.ts'
import { smallChanges } from '../seeded-files.ts'

const image = 'localhost/busybox:bench'
const count = 1000
/** Of the same that take long: their time is taken for all. */
const countOfSlow = 50
const parallelism = availableParallelism()

export const containerDatums: Benchmark = {
  name: 'container-datums',
  title: `job over 1,000 trivial datums in containers, ${parallelism} at once`,
  unit: 'ms',
  roundsMax: 3,
  prepare: async (stage) => {
    const { engine, pachd } = await start(stage)
    await makePipeline(pachd, 'trivial')
    const id = (await engine.podman('run', '--detach', image, 'sleep', '100000')).trim()
    const runJob = async (seed: number): Promise<number> => {
      const commit = await pachd.startCommit('in')
      const files = smallChanges('/d', count, seed)
      await putFiles(pachd.transport, { repo: 'in', id: commit.id }, files)
      return timed(async () => {
        await pachd.pfs.finishCommit({ commit })
        await pachd.flush(commit)
      })
    }
    await runJob(-1) // starts the containers
    const ours = 'job of `true`'
    const baseline = '`podman exec` in loops'
    const execute = async (): Promise<void> => {
      for (let at = 0; at < countOfSlow / parallelism; at += 1)
        await engine.podman('exec', id, 'true')
    }
    const loops = async (): Promise<number> => {
      const ms = await timed(async () => Promise.all(Array.from({ length: parallelism }, execute)))
      return (ms * count) / countOfSlow
    }
    return {
      contenders: [
        { label: ours, run: runJob },
        { label: baseline, run: loops },
      ],
      comparisons: [{ ours, baseline, budget: { kind: 'faster', atLeast: 1 } }],
    }
  },
}

export const firstContainerDatum: Benchmark = {
  name: 'first-container-datum',
  title: 'first datum of a new pipeline, from create-pipeline to its output',
  unit: 'ms',
  prepare: async (stage) => {
    const { engine, pachd } = await start(stage)
    const commit = await pachd.startCommit('in')
    await putFiles(pachd.transport, { repo: 'in', id: commit.id }, smallChanges('/d', 1, 0))
    await pachd.pfs.finishCommit({ commit })
    const [process, container] = ['as a process', 'in a container']
    const podmanRun = '`podman run --rm`'
    const create = async (name: string, executor: string): Promise<number> =>
      timed(async () => {
        await makePipeline(pachd, name, executor)
        await pachd.flush(commit)
      })
    return {
      contenders: [
        { label: process, run: async (round) => create(`process-${round}`, 'process') },
        { label: container, run: async (round) => create(`container-${round}`, 'container') },
        {
          label: podmanRun,
          run: async () => timed(async () => engine.podman('run', '--rm', image, 'true')),
        },
      ],
      comparisons: [
        { ours: container, baseline: podmanRun },
        { ours: process, baseline: podmanRun },
      ],
    }
  },
}

async function start({ startPachd, use }: Stage): Promise<{ engine: PodmanEngine; pachd: Pachd }> {
  const engine = use(await PodmanEngine.start())
  await engine.makeImage(image, busyboxImage)
  const pachd = await startPachd({ environment: { PACHD_CONTAINER_ENGINE: engine.url } })
  await pachd.createRepo('in', [])
  return { engine, pachd }
}

async function makePipeline(pachd: Pachd, name: string, executor = 'container'): Promise<void> {
  await pachd.pps.createPipeline({
    pipeline: { name },
    transform: { image, cmd: ['true'] },
    parallelismSpec: { constant: BigInt(parallelism) },
    input: { atom: { repo: 'in', glob: '/d/*' } },
    executor,
  })
}
