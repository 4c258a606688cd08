#include "trainer/data/debian_package.h"

#include <string_view>

#include "base/subprocess.h"

namespace strata::trainer {

Result<std::string> pinned_version(const std::string& package, const std::string& pinned) {
  const auto version =
      run_captured({.argv = {"dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package}});
  if (!version)
    return tl::unexpected(version.error().while_doing("asking for the version of " + package));
  constexpr std::string_view kInstalled = "installed ";
  if (!version->exit.ok() || !version->output.starts_with(kInstalled)) {
    return fail(ErrorCode::kInvalid,
                "the Debian package {} is not installed: run 'scripts/bootstrap run', or 'apt-get "
                "install {}'",
                package, package);
  }
  std::string found = version->output.substr(kInstalled.size());
  if (found != pinned) {
    return fail(ErrorCode::kInvalid,
                "the Debian package {} has version {}, the corpus is pinned to {}: install that "
                "version, or change "
                "corpus.version to {} (which makes another corpus, and other results)",
                package, found, pinned, found);
  }
  return found;
}

}  // namespace strata::trainer
