# Facts of VMware for bothways, by PowerCLI: pwsh vmware.ps1 -Server vcenter -Out /var/lib/bothways/vmware.json
# A read-only role at the root of the inventory is enough. Run it every minute; the file is replaced in one step.
param([Parameter(Mandatory)][string]$Server, [Parameter(Mandatory)][string]$Out)
$ErrorActionPreference = "Stop"
Connect-VIServer -Server $Server | Out-Null
$states = @{ PoweredOn = "running"; PoweredOff = "off"; Suspended = "paused" }
$models = @{ e1000 = "e1000"; e1000e = "e1000e"; Vmxnet3 = "vmxnet3"; Vmxnet2 = "vmxnet2"; Flexible = "flexible"; Vlance = "vlance"; SriovEthernetCard = "vf" }
$yes = { param($b) if ($null -eq $b) { $null } elseif ($b) { "yes" } else { "no" } }
$not = { param($b) if ($null -eq $b) { $null } elseif ($b) { "no" } else { "yes" } }
$groups = @{}
foreach ($g in @(Get-VirtualPortGroup -Standard)) {
	$p = Get-SecurityPolicy -VirtualPortGroup $g
	$groups[$g.Name] = @{ vswitch = $g.VirtualSwitchName; vlan = $g.VLanId; trunk = ($g.VLanId -eq 4095); policy = $p }
}
foreach ($g in @(Get-VDPortgroup)) {
	$p = Get-VDSecurityPolicy -VDPortgroup $g
	$v = $g.VlanConfiguration
	$groups[$g.Name] = @{ vswitch = $g.VDSwitch.Name; vlan = $v.VlanId; trunk = ($v.VlanType -eq "Trunk"); private = $v; policy = $p }
}
$vports = foreach ($n in @(Get-VM | Get-NetworkAdapter)) {
	$vm = $n.Parent
	$g = $groups[$n.NetworkName]
	$row = [ordered]@{
		vm = $vm.Name; nic = $n.Name; guest = $vm.Guest.HostName; host = $vm.VMHost.Name; mac = $n.MacAddress
		state = $states["$($vm.PowerState)"]; model = $models["$($n.Type)"]; network = $n.NetworkName; vswitch = $g.vswitch
		connected = & $yes $n.ConnectionState.Connected
		vcpus = $vm.NumCpu
	}
	if ($g.policy) {
		$row.mac_guard = & $not $g.policy.ForgedTransmits
		$row.change_guard = & $not $g.policy.MacChanges
		$row.promiscuous = & $yes $g.policy.AllowPromiscuous
	}
	if ($g.private -and "$($g.private.VlanType)" -eq "PrivateVlan") {
		$row.vlan_mode = "$($g.private.PrivateVlanType)".ToLower(); $row.vlan = $g.private.PrimaryVlanId; $row.secondary = $g.private.SecondaryVlanId
	} elseif ($g.trunk) { $row.vlan_mode = "trunk"; $row.vlans = "all" }
	elseif ($g.vlan) { $row.vlan_mode = "access"; $row.vlan = $g.vlan }
	elseif ($g) { $row.vlan_mode = "untagged" }
	$row
}
$vswitches = foreach ($s in @(Get-VDSwitch)) {
	foreach ($m in @($s.ExtensionData.Config.Host)) {
		[ordered]@{ name = $s.Name; host = (Get-VIObjectByVIView $m.Config.Host).Name; kind = "external"
			in_sync = & $not ($s.ExtensionData.Runtime.HostMemberRuntime | Where-Object { $_.Host -eq $m.Config.Host -and $_.Status -eq "outOfSync" }) }
	}
}
$codes = "DvsPortBlockedEvent", "DvsHostWentOutOfSyncEvent", "VmMacConflictEvent", "VmStaticMacConflictEvent", "EventEx"
$pnotes = foreach ($e in @(Get-VIEvent -Start (Get-Date).AddHours(-1) -MaxSamples 5000)) {
	$code = if ($e.EventTypeId) { $e.EventTypeId } else { $e.GetType().Name }
	if ($codes -contains $e.GetType().Name -and $code -match "Dvs|Mac|esx.problem.net|vob.net|firewall") {
		$text = $e.FullFormattedMessage
		[ordered]@{ object = if ($e.Vm) { $e.Vm.Name } else { $e.Host.Name }; code = $code; count = 1; text = $text.Substring(0, [Math]::Min(90, $text.Length)) }
	}
}
ConvertTo-Json -Depth 4 -InputObject @{ platform = "vmware"; vports = @($vports); vswitches = @($vswitches); pnotes = @($pnotes) } | Set-Content "$Out.new"
Move-Item -Force "$Out.new" $Out
