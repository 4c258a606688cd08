#include "cli/completion.h"

#include <fmt/format.h>

namespace strata::cli {

namespace {

// Names of sweeps come from the coordinator; silence where there is none.
constexpr const char* kSweepNames = "strata names 2>/dev/null";

std::string option_words(const CommandShape& command) {
  std::string out;
  for (const OptionShape& option : command.options) out += (out.empty() ? "" : " ") + option.name;
  return out;
}

std::string joined(const std::vector<std::string>& words) {
  return fmt::format("{}", fmt::join(words, " "));
}

// Inside single quotes of any of the three shells.
std::string quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "’";
    } else if (c != '\\' && c != '[' && c != ']' && c != ':') {
      out += c;
    } else {
      out += ' ';
    }
  }
  return out;
}

}  // namespace

std::string bash_completion(const std::vector<CommandShape>& commands) {
  std::string names;
  std::string cases;
  for (const CommandShape& command : commands) {
    names += (names.empty() ? "" : " ") + command.name;
    cases += fmt::format("    {})\n", command.name);
    std::string values;
    for (const OptionShape& option : command.options) {
      if (!option.choices.empty()) {
        values += fmt::format("        {}) COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return ;;\n",
                              option.name, joined(option.choices));
      } else if (option.takes_value) {
        values += fmt::format("        {}) COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n",
                              option.name);
      }
    }
    if (!values.empty()) cases += "      case \"$prev\" in\n" + values + "      esac\n";
    cases += fmt::format(
        "      if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '{}' -- \"$cur\")); return; fi\n",
        option_words(command));
    if (!command.choices.empty()) {
      if (command.words == WordKind::kFile)
        cases +=
            "      if [[ $COMP_CWORD -gt 2 ]]; then COMPREPLY=($(compgen -f -- \"$cur\")); return; "
            "fi\n";
      cases += fmt::format("      COMPREPLY=($(compgen -W '{}' -- \"$cur\"))\n",
                           joined(command.choices));
    } else if (command.words == WordKind::kFile) {
      cases += "      COMPREPLY=($(compgen -f -- \"$cur\"))\n";
    } else if (command.words == WordKind::kSweep) {
      cases += fmt::format("      COMPREPLY=($(compgen -W \"$({})\" -- \"$cur\"))\n", kSweepNames);
    }
    cases += "      ;;\n";
  }
  return fmt::format(R"(# bash completion for strata; in ~/.bashrc: source <(strata completion bash)
_strata() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}}
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W '{}' -- "$cur"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{}  esac
}}
complete -o filenames -F _strata strata
)",
                     names, cases);
}

std::string zsh_completion(const std::vector<CommandShape>& commands) {
  std::string names;
  std::string cases;
  for (const CommandShape& command : commands) {
    names += fmt::format("    '{}:{}'\n", command.name, quoted(command.help));
    cases += fmt::format("    {})\n      _arguments", command.name);
    for (const OptionShape& option : command.options) {
      std::string value;
      if (!option.choices.empty()) {
        value = fmt::format(":value:({})", joined(option.choices));
      } else if (option.takes_value) {
        value = ":value:_files";
      }
      cases += fmt::format(" \\\n        '{}[{}]{}'", option.name, quoted(option.help), value);
    }
    if (!command.choices.empty()) {
      cases += fmt::format(" \\\n        '1:what:({})'", joined(command.choices));
      if (command.words == WordKind::kFile) cases += " \\\n        '*:file:_files'";
    } else if (command.words == WordKind::kFile) {
      cases += " \\\n        '*:file:_files'";
    } else if (command.words == WordKind::kSweep) {
      cases += fmt::format(" \\\n        \"1:sweep:($({}))\"", kSweepNames);
    }
    cases += "\n      ;;\n";
  }
  return fmt::format(R"(#compdef strata
# zsh completion for strata; in ~/.zshrc after compinit: source <(strata completion zsh)
_strata() {{
  local -a commands
  commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{}  esac
}}
compdef _strata strata
)",
                     names, cases);
}

std::string fish_completion(const std::vector<CommandShape>& commands) {
  std::string out =
      "# fish completion for strata; strata completion fish > "
      "~/.config/fish/completions/strata.fish\ncomplete -c strata -f\n";
  for (const CommandShape& command : commands) {
    out += fmt::format("complete -c strata -n __fish_use_subcommand -a {} -d '{}'\n", command.name,
                       quoted(command.help));
    const std::string when =
        fmt::format("complete -c strata -n '__fish_seen_subcommand_from {}'", command.name);
    for (const OptionShape& option : command.options) {
      out += fmt::format("{} -l {} -d '{}'", when, option.name.substr(2), quoted(option.help));
      if (!option.choices.empty()) {
        out += fmt::format(" -x -a '{}'", joined(option.choices));
      } else if (option.takes_value) {
        out += " -r -F";
      }
      out += "\n";
    }
    if (!command.choices.empty()) out += fmt::format("{} -a '{}'\n", when, joined(command.choices));
    if (command.words == WordKind::kFile) out += when + " -F\n";
    if (command.words == WordKind::kSweep) out += fmt::format("{} -a '({})'\n", when, kSweepNames);
  }
  return out;
}

}  // namespace strata::cli
