import { setTimeout as pause } from 'node:timers/promises'
import { Dice } from '../../src/testing/busy-world.ts'
import { TemporaryDirectory } from '../../src/testing/temporary-directory.ts'
import { ChildPachd, oneDoor } from './child-pachd.ts'
import { commitFiles } from './files.ts'
import { atomOf, flush, outputOf, type InputInit } from './pipelines.ts'
import { TestClient } from './test-pachd.ts'

const repos = ['left', 'right'] as const
const fileNames = ['a', 'b', 'c', 'd']
/** A kill comes within so much of the last call's beginning. */
const killMsMax = 400

const shout = 'for f in $PFS/in/*; do { tr a-z A-Z < $f; echo " $V"; } > $PFS/out/${f##*/}; done'
const warmLoop = `echo ready >&3; while read -r ticket _; do ${shout}; echo "$ticket $?" >&3; done`

interface Shape {
  readonly input: InputInit
  readonly isWarm?: true
}

/** Each writes what it reads in capitals, with the version of its code. */
const shapes: Readonly<Record<string, Shape>> = {
  plain: { input: atomOf('left', '/*', 'in') },
  warm: { input: atomOf('right', '/*', 'in'), isWarm: true },
  both: { input: { union: [atomOf('left', '/*', 'in'), atomOf('right', '/*', 'in')] } },
  after: { input: atomOf('plain', '/*', 'in') },
}
const pipelines = Object.keys(shapes)

function requestOf(name: string, version: number) {
  const { input, isWarm } = shapes[name] ?? {}
  const env = { V: `v${version}` }
  const transform =
    isWarm === true
      ? { cmd: ['sh', '-ec', warmLoop], env, warm: true }
      : { cmd: ['sh', '-e'], stdin: [shout], env }
  return { pipeline: { name }, transform, ...(input && { input }) }
}

type Call = (client: TestClient, dice: Dice) => Promise<unknown>

const nameOf = (dice: Dice): string => dice.pick(pipelines) ?? ''

/** What people do, as often as it is named. */
const calls: readonly Call[] = [
  ...Array<Call>(6).fill(async (client, dice) => {
    const repo = dice.pick(repos) ?? 'left'
    await commitFiles(
      client,
      { repo, branch: 'master' },
      { [dice.pick(fileNames) ?? '']: `text ${dice.roll(20)}` },
    )
  }),
  async (client, dice) => {
    const request = requestOf(nameOf(dice), dice.roll(1000))
    await client.pps.createPipeline({ ...request, update: true, reprocess: true })
  },
  async (client, dice) => client.pps.stopPipeline({ pipeline: { name: nameOf(dice) } }),
  async (client, dice) => client.pps.startPipeline({ pipeline: { name: nameOf(dice) } }),
  async (client, dice) => client.pps.createJob({ pipeline: { name: nameOf(dice) } }),
  async (client, dice) => {
    const { jobInfo } = await client.pps.listJob({ pipeline: { name: nameOf(dice) } })
    const job = dice.pick(jobInfo)?.job
    if (job !== undefined) await client.pps.stopJob({ job })
  },
  async (client) => client.pps.garbageCollect({}),
]

/** What a pipeline should have made, and what it has. */
export interface Output {
  readonly pipeline: string
  readonly expected: Readonly<Record<string, string>>
  readonly found: Readonly<Record<string, string>>
}

/**
 * Makes random calls of a real server, which is killed (`kill -9`) in the midst of some of them;
 * then lets everything come to rest.
 */
export async function killedCalls(
  seed: number,
  { lifeCount, callCount }: { readonly lifeCount: number; readonly callCount: number },
): Promise<readonly Output[]> {
  const dice = new Dice(seed)
  await using directory = await TemporaryDirectory.create()
  const args = oneDoor(directory.join('data'))
  {
    await using pachd = new ChildPachd(args)
    await using client = new TestClient(await pachd.ready)
    for (const repo of repos) await client.pfs.createRepo({ repo: { name: repo } })
    for (const name of pipelines) await client.pps.createPipeline(requestOf(name, 0))
  }
  for (let life = 0; life < lifeCount; life += 1) {
    await using pachd = new ChildPachd(args)
    await using client = new TestClient(await pachd.ready)
    for (let index = 0; index < callCount; index += 1) {
      const call = dice.pick(calls)?.(client, dice)
      // Refused, as what makes no sense: a commit is open since a kill, or the server is gone.
      const ended = call?.catch(() => {})
      const isLast = index === callCount - 1
      // Disposing of the server kills it.
      await (isLast ? pause(dice.roll(killMsMax)) : ended)
    }
  }
  await using pachd = new ChildPachd(args)
  await using client = new TestClient(await pachd.ready)
  return await outputsAtRest(client)
}

async function outputsAtRest(client: TestClient): Promise<readonly Output[]> {
  const versions: Record<string, string> = {}
  for (const name of pipelines) {
    await client.pps.startPipeline({ pipeline: { name } }).catch(() => {})
    const { transform } = await client.pps.inspectPipeline({ pipeline: { name } })
    versions[name] = transform?.env['V'] ?? ''
  }
  const inputs: Record<string, Readonly<Record<string, string>>> = {}
  const commits: Record<string, string> = {}
  for (const repo of repos) {
    // One that a kill left open.
    await client.pfs
      .finishCommit({ commit: { repo: { name: repo }, id: 'master' } })
      .catch(() => {})
    commits[repo] = await commitFiles(
      client,
      { repo, branch: 'master' },
      { last: `end of ${repo}` },
    )
  }
  for (const repo of repos) {
    await flush(client, repo, commits[repo] ?? '')
    inputs[repo] = await outputOf(client, repo)
  }
  const { left = {}, right = {} } = inputs
  const shouted = (files: Readonly<Record<string, string>>, name: string) =>
    Object.fromEntries(
      Object.entries(files).map(([path, text]) => [
        path,
        `${text.toUpperCase()} ${versions[name]}\n`,
      ]),
    )
  const plain = shouted(left, 'plain')
  const [first, second] = [shouted(left, 'both'), shouted(right, 'both')]
  const paths = [...new Set([...Object.keys(first), ...Object.keys(second)])]
  const both = Object.fromEntries(
    paths.map((path) => [path, `${first[path] ?? ''}${second[path] ?? ''}`]),
  )
  const expected = { plain, warm: shouted(right, 'warm'), both, after: shouted(plain, 'after') }
  const found = Object.entries(expected).map(async ([pipeline, files]) => ({
    pipeline,
    expected: files,
    found: await outputOf(client, pipeline),
  }))
  return await Promise.all(found)
}
