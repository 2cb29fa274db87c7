# Facts of Hyper-V for bothways: powershell hyperv.ps1 -Out \\share\bothways\hv7.json     (on the host, as administrator, every minute)
# What an agent or the collector reads by --platform-facts is the copy of that file.
param([Parameter(Mandatory)][string]$Out)
$ErrorActionPreference = "Stop"
$states = @{ Running = "running"; Off = "off"; Paused = "paused"; Saved = "off"; Saving = "stunned"; Pausing = "stunned"; Resuming = "stunned"; RunningCritical = "crashed"; OffCritical = "crashed"; PausedCritical = "stunned" }
$kinds = @{ Private = "private"; Internal = "internal"; External = "external" }
$yes = { param($b) if ($null -eq $b) { $null } elseif ("$b" -in "True", "On") { "yes" } else { "no" } }
$not = { param($b) if ($null -eq $b) { $null } elseif ("$b" -in "True", "On") { "no" } else { "yes" } }
$vms = @{}
foreach ($v in @(Get-VM)) { $vms[$v.Name] = $v }
$vports = foreach ($n in @(Get-VMNetworkAdapter -VMName *)) {
	$vlan = Get-VMNetworkAdapterVlan -VMNetworkAdapter $n
	$iso = Get-VMNetworkAdapterIsolation -VMNetworkAdapter $n
	$mode = "$($vlan.OperationMode)"
	$row = [ordered]@{
		vm = $n.VMName; nic = $n.Name; mac = $n.MacAddress; vswitch = $n.SwitchName; network = $n.SwitchName
		state = $states["$($vms[$n.VMName].State)"]; state_why = "$($vms[$n.VMName].Status)"; vcpus = $vms[$n.VMName].ProcessorCount
		connected = & $yes $n.Connected; model = if ($n.IsLegacy) { "legacy" } else { "synthetic" }
		mac_guard = & $not $n.MacAddressSpoofing; dhcp_guard = & $yes $n.DhcpGuard; router_guard = & $yes $n.RouterGuard
		storm_limit = $n.StormLimit; vmq = if ($n.VmqWeight) { "yes" } else { "no" }
	}
	if ($n.BandwidthSetting.MaximumBandwidth) { $row.rate_out = [int64]($n.BandwidthSetting.MaximumBandwidth / 1000) }
	switch ($mode) {
		"Untagged" { $row.vlan_mode = "untagged" }
		"Access" { $row.vlan_mode = "access"; $row.vlan = $vlan.AccessVlanId }
		"Trunk" { $row.vlan_mode = "trunk"; $row.native = $vlan.NativeVlanId; $row.vlans = @($vlan.AllowedVlanIdList) -join "," }
		"Private" { $row.vlan_mode = "$($vlan.PrivateVlanMode)".ToLower(); $row.vlan = $vlan.PrimaryVlanId; $row.secondary = $vlan.SecondaryVlanId }
	}
	$modes = @{ None = "none"; Vlan = "vlan"; NativeVirtualSubnet = "subnet"; ExternalVirtualSubnet = "external" }
	$row.isolation = $modes["$($iso.IsolationMode)"]; $row.subnet = $iso.DefaultIsolationID; $row.untagged = & $yes $iso.AllowUntaggedTraffic
	$row
}
$vswitches = foreach ($s in @(Get-VMSwitch)) {
	$bad = @(Get-VMSwitchExtension -VMSwitch $s | Where-Object { $_.Enabled -and -not $_.Running })
	$filter = if ($bad) { $bad[0] } else { @(Get-VMSwitchExtension -VMSwitch $s | Where-Object { $_.Enabled -and "$($_.Vendor)" -notmatch "Microsoft" })[0] }
	[ordered]@{ name = $s.Name; kind = $kinds["$($s.SwitchType)"]; uplinks = "$($s.NetAdapterInterfaceDescription)"
		management = if ("$($s.SwitchType)" -eq "Internal") { "yes" } else { & $yes $s.AllowManagementOS }
		extension = $filter.Name; extension_ok = if ($bad) { "no" } else { "yes" } }
}
$events = @(Get-WinEvent -FilterHashtable @{ LogName = "System"; ProviderName = "Microsoft-Windows-Hyper-V-VmSwitch"; Id = 28, 106, 113; StartTime = (Get-Date).AddHours(-1) } -ErrorAction SilentlyContinue)
$pnotes = foreach ($e in $events) {
	$text = ("$($e.Message)" -replace "\s+", " ")
	[ordered]@{ object = $env:COMPUTERNAME; code = "vmswitch.$($e.Id)"; count = 1; text = $text.Substring(0, [Math]::Min(90, $text.Length)) }
}
ConvertTo-Json -Depth 4 -InputObject @{ platform = "hyperv"; host = $env:COMPUTERNAME; vports = @($vports); vswitches = @($vswitches); pnotes = @($pnotes) } | Set-Content "$Out.new"
Move-Item -Force "$Out.new" $Out
