// The text of schema/sql/*.sql, built in. Forward only: a store is brought up to the newest version
// when it is opened, and a store newer than the build is refused. DO NOT edit a file that a release
// has carried: add the next number.
#pragma once

#include <string_view>
#include <vector>

namespace strata::coordinator {

// In order; the first makes version 1.
[[nodiscard]] const std::vector<std::string_view>& event_migrations();
[[nodiscard]] const std::vector<std::string_view>& metric_migrations();
// Of the derived tables. A build that makes other rows of the same events adds one, too, be it
// empty: tables of another version are made again from the log.
[[nodiscard]] const std::vector<std::string_view>& table_migrations();

}  // namespace strata::coordinator
