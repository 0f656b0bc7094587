import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FileOrigin, InputRef } from '../../src/gen/pachyderm_pb.ts'
import { countsText, type PipelineRun, type Processing } from './processing.ts'
import { grouped, sizeText, type Screen } from './screen.ts'
import type { ServerCalls } from './server-calls.ts'
import type { Shell } from './shell.ts'

const pipelines = ['package-facts', 'bill-of-materials'] as const
const scripts = ['describe-package.mjs', 'write-report.mjs'] as const
const examples = 'examples/node-modules'
const packageGlobs = ['/[^@.]*', '/@*/*'] as const
/** The first of them that is installed plays the part; else any package. */
const changeFavourites = ['zod', 'yaml', 'semver', 'ms']
const removeFavourites = ['picocolors', 'nanoid', 'tinyglobby', 'debug']
const newLicence = 'BUSL-1.1'

export interface StoryPorts {
  readonly screen: Screen
  readonly shell: Shell
  readonly calls: ServerCalls
  readonly processing: Processing
  /** The checkout. */
  readonly project: string
  /** A directory of installed packages, as the shell should name it. */
  readonly modules: string
}

/** The demonstration: data in, results out, a change, what it cost, what it did, and from where. */
export class Story {
  readonly #ports: StoryPorts

  constructor(ports: StoryPorts) {
    this.#ports = ports
  }

  async tell(): Promise<void> {
    const before = await this.#ports.calls.repoNames()
    await this.#versionScripts(before.has('scripts'))
    const first = await this.#versionPackages(before.has('packages'))
    await this.#process(first)
    const changed = await this.#change(first)
    const report = await this.#processChange(changed)
    await this.#compare(report)
    await this.#trace(report, changed.name)
  }

  async #versionScripts(exists: boolean): Promise<void> {
    const { screen, shell } = this.#ports
    screen.section('Version the data, and the code that will read it')
    if (!exists) await shell.run('pachctl create-repo scripts')
    if (exists && (await this.#scriptsAreCurrent())) {
      screen.text('The repo scripts is there from an earlier run, and is up to date.')
      return
    }
    const sources = scripts.map((name) => `-f ${name}`).join(' ')
    await shell.run(`cd ${examples} &&\n  pachctl put-file scripts master -c -o ${sources}`)
  }

  async #scriptsAreCurrent(): Promise<boolean> {
    const { calls, project } = this.#ports
    const same = scripts.map(async (name) => {
      const stored = await calls.readText('scripts', 'master', name).catch(() => undefined)
      return stored === (await readFile(join(project, examples, name), 'utf8'))
    })
    return (await Promise.all(same)).every(Boolean)
  }

  /** Returns the commit. */
  async #versionPackages(exists: boolean): Promise<string> {
    const { screen, shell, calls, modules } = this.#ports
    const startedMs = calls.clock.monotonicMs()
    if (exists) await this.#dropOpenCommit()
    else await shell.run('pachctl create-repo packages')
    const commit = (await shell.run('pachctl start-commit packages master')).trim()
    if (exists) {
      screen.text('The repo packages is there from an earlier run: its files are replaced.')
      await shell.run('pachctl delete-file packages master /')
    }
    await shell.run(`pachctl put-file packages master / -r -f ${shellWord(modules)}`)
    await shell.run('pachctl finish-commit packages master')
    const elapsedMs = calls.clock.monotonicMs() - startedMs
    const packages = await this.#packages(commit)
    const sizeBytes = packages.reduce((sum, one) => sum + one.sizeBytes, 0)
    screen.result(
      `${grouped(packages.length)} packages, ${sizeText(sizeBytes)}, in commit ${commit}`,
      elapsedMs,
    )
    const info = await calls.pfs.inspectCommit({
      commit: { repo: { name: 'packages' }, id: commit },
    })
    const beside = Number(info.sizeBytes) - sizeBytes
    if (beside > 0) {
      screen.text(
        `(The commit has ${sizeText(beside)} more: node_modules/.bin links to programs, and a link counts as its file. ` +
          'They are stored once all the same.)',
      )
    }
    return commit
  }

  /** What an earlier run left that was stopped half-way. */
  async #dropOpenCommit(): Promise<void> {
    const { screen, shell, calls } = this.#ports
    const { branchInfo } = await calls.pfs.listBranch({ repo: { name: 'packages' } })
    const head = branchInfo.find(({ name }) => name === 'master')?.head
    if (head === undefined) return
    const { finished } = await calls.pfs.inspectCommit({ commit: head })
    if (finished !== undefined) return
    screen.text('An earlier run was stopped half-way: its commit is dropped.')
    await shell.run(`pachctl delete-commit packages ${head.id}`)
  }

  async #packages(
    commit: string,
  ): Promise<readonly { readonly name: string; readonly sizeBytes: number }[]> {
    const { calls } = this.#ports
    const found = packageGlobs.map((glob) => calls.matching('packages', commit, glob))
    return (await Promise.all(found))
      .flat()
      .map(({ path, sizeBytes }) => ({ name: path.replace(/^\//, ''), sizeBytes }))
  }

  async #process(commit: string): Promise<void> {
    const { screen, shell, calls } = this.#ports
    screen.section('Process it: one datum for each package, then one report of all')
    const existing = await calls.pipelineNames()
    for (const name of pipelines) {
      if (!existing.has(name)) {
        await shell.run(`pachctl create-pipeline -f ${examples}/${name}.json`)
      }
    }
    const runs = await this.#flush(commit)
    if (runs.every(({ processedCount }) => processedCount === 0)) {
      screen.text('All of this was seen before, so all results are known.')
    }
    screen.blank()
    await shell.run('pachctl get-file bill-of-materials master report.md | head -17', {
      showOutput: true,
    })
  }

  /** Says for each pipeline what it did. */
  async #flush(commit: string): Promise<readonly PipelineRun[]> {
    const { screen, processing } = this.#ports
    const runs = await processing.flush(commit)
    const width = Math.max(...pipelines.map((name) => name.length))
    return pipelines.map((name) => {
      const run = runs.get(name)
      if (run === undefined) throw new Error(`${name} made nothing of commit ${commit}`)
      screen.result(`${`${name}:`.padEnd(width + 1)}  ${countsText(run)}`, run.elapsedMs)
      return run
    })
  }

  async #change(first: string): Promise<{ readonly name: string; readonly commit: string }> {
    const { screen, shell } = this.#ports
    const packages = await this.#packages(first)
    const names = packages.map((one) => one.name).filter((one) => !one.startsWith('@'))
    const name = changeFavourites.find((one) => names.includes(one)) ?? names[0]
    const others = names.filter((one) => one !== name)
    const removed = removeFavourites.find((one) => others.includes(one)) ?? others.at(-1)
    if (name === undefined || removed === undefined) {
      throw new Error('the demonstration needs two packages without a scope at least')
    }
    screen.section('Change one package, remove another')
    screen.text(`Suppose that ${name} came out under another licence, and ${removed} was dropped.`)
    const commit = (await shell.run('pachctl start-commit packages master')).trim()
    await shell.run(
      [
        `pachctl get-file packages ${first} ${name}/package.json |`,
        `  sed 's/"license": *"[^"]*"/"license": "${newLicence}"/' |`,
        `  pachctl put-file packages master ${name}/package.json -o`,
      ].join('\n'),
    )
    await shell.run(`pachctl delete-file packages master ${removed}`)
    await shell.run('pachctl finish-commit packages master')
    return { name, commit }
  }

  /** Returns the commit of the bill of materials. */
  async #processChange({ commit }: { readonly commit: string }): Promise<string> {
    const [facts, bill] = await this.#flush(commit)
    if (facts?.processedCount === 0) {
      this.#ports.screen.text(
        'None was processed: an earlier run made the same change, and its results are known.',
      )
    }
    return bill?.outputCommit ?? 'master'
  }

  async #compare(report: string): Promise<void> {
    const { screen, shell, calls } = this.#ports
    screen.section('What changed in the result')
    await shell.run('pachctl diff-file bill-of-materials master /', { showOutput: true })
    const { parentCommit } = await calls.pfs.inspectCommit({
      commit: { repo: { name: 'bill-of-materials' }, id: report },
    })
    const before = await this.#lines(parentCommit?.id ?? '')
    const now = await this.#lines(report)
    screen.blank()
    screen.text('Line by line in packages.csv:')
    for (const line of before) if (!now.includes(line)) screen.removed(line)
    for (const line of now) if (!before.includes(line)) screen.added(line)
  }

  async #lines(commit: string): Promise<readonly string[]> {
    const text = await this.#ports.calls.readText('bill-of-materials', commit, 'packages.csv')
    return text.trimEnd().split('\n')
  }

  async #trace(report: string, name: string): Promise<void> {
    const { screen, shell } = this.#ports
    screen.section('Where one line of the result comes from')
    const lines = await this.#lines(report)
    const index = lines.findIndex((line) => line.startsWith(`${name},`))
    screen.text(`packages.csv, line ${index + 1} of ${grouped(lines.length)}: ${lines[index]}`)
    await shell.run(`pachctl lineage bill-of-materials ${report} packages.csv`, {
      showOutput: true,
    })
    const facts = inputOf(await this.#origin('bill-of-materials', report, 'packages.csv'), {
      repo: 'package-facts',
    })
    screen.blank()
    screen.text(`The line was made from ${name}.json, and that in turn:`)
    const file = `${name}.json`
    await shell.run(`pachctl lineage package-facts ${commitOf(facts)} ${file}`, {
      showOutput: true,
    })
    const source = inputOf(await this.#origin('package-facts', commitOf(facts), file), {
      repo: 'packages',
    })
    screen.blank()
    screen.text(`So of all packages the line depends on ${source.file?.path} alone. What it says:`)
    await shell.run(
      `pachctl get-file packages ${commitOf(source)} ${name}/package.json | grep '"license"'`,
      { showOutput: true },
    )
  }

  async #origin(repo: string, commit: string, path: string): Promise<FileOrigin> {
    const file = { commit: { repo: { name: repo }, id: commit }, path }
    const { origins } = await this.#ports.calls.jobs.lineage({ file })
    const [origin] = origins
    if (origin === undefined) throw new Error(`nothing is known of the origin of ${repo}${path}`)
    return origin
  }
}

/** As one would type it. */
function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`
}

function inputOf({ inputs }: FileOrigin, { repo }: { readonly repo: string }): InputRef {
  const input = inputs.find(({ file }) => file?.commit?.repo?.name === repo)
  if (input === undefined) throw new Error(`no input of repo ${repo} among those of the datum`)
  return input
}

function commitOf({ file }: InputRef): string {
  return file?.commit?.id ?? ''
}
